import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HEIGHT, sparkline, WIDTH } from '../src/sparkline.js';

/** The numbers of a path, as pairs. */
function corners(path) {
  return [...path.matchAll(/(-?[\d.]+) (-?[\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)]);
}

test('nothing to draw is nothing', () => {
  assert.equal(sparkline([], 0, 100), null);
  assert.equal(sparkline([[5, 50]], 10, 100), null);
});

test('time runs to the right and light upwards', () => {
  const drawn = sparkline([[0, 0], [1_000, 100]], 0, 1_000);
  const [[x0, y0], [x1, y1]] = corners(drawn.line);
  assert.deepEqual([x0, x1], [0, WIDTH]);
  assert.ok(y0 > y1 && y0 <= HEIGHT && y1 >= 0);
  assert.deepEqual([drawn.min, drawn.max], [0, 100]);
});

test('a lone point has an end to be seen by', () => {
  const drawn = sparkline([[500, 50]], 0, 1_000);
  assert.equal(drawn.end, `M${WIDTH / 2} ${HEIGHT / 2}h0`);
});

test('the line enters from beyond the edge, but what is there does not count', () => {
  const drawn = sparkline([[-500, 0], [-100, 10], [100, 40], [300, 60]], 0, 1_000);
  assert.equal(corners(drawn.line).length, 3);
  assert.ok(corners(drawn.line)[0][0] < 0);
  assert.deepEqual([drawn.min, drawn.max], [40, 60]);
});

test('a silence is a hole, not a slope', () => {
  const points = [];
  for (let s = 0; s < 60; s += 1) if (s < 20 || s >= 40) points.push([s * 1_000, 50]);
  const drawn = sparkline(points, 0, 60_000);
  assert.equal(drawn.line.match(/M/g).length, 2);
  assert.equal(drawn.area.match(/Z/g).length, 2);
});

test('a board that reports once a minute has no holes', () => {
  const points = [0, 1, 2, 3, 4].map((minute) => [minute * 60_000, 10 * minute]);
  assert.equal(sparkline(points, 0, 300_000).line.match(/M/g).length, 1);
});

test('many points are thinned, and no peak is lost', () => {
  const points = Array.from({ length: 20_000 }, (_, i) => [i * 15, 50]);
  points[12_345] = [12_345 * 15, 99];
  const drawn = sparkline(points, 0, 300_000);
  assert.ok(corners(drawn.line).length <= 3 * (WIDTH + 1));
  assert.equal(drawn.max, 99);
  const top = Math.min(...corners(drawn.line).map(([, y]) => y));
  assert.ok(top < 5, `the peak is at ${top}`);
});
