import assert from 'node:assert/strict';
import { test } from 'node:test';
import { LightHistories, LightHistory, WINDOW_MS } from '../src/light.js';

test('what the hub remembers and what the stream told become one line', () => {
  const history = new LightHistory();
  history.add(3_000, 30);
  history.add(4_000, 40);
  history.merge([[1_000, 10], [2_000, 20], [3_000, 30]]);
  assert.deepEqual(history.points, [[1_000, 10], [2_000, 20], [3_000, 30], [4_000, 40]]);
});

test('what is older than the window goes, but for one point', () => {
  const history = new LightHistory();
  for (let at = 0; at <= 2 * WINDOW_MS; at += 1_000) history.add(at, 50);
  assert.equal(history.points[0][0], WINDOW_MS - 1_000);
});

test('a clock that is set back takes the future with it', () => {
  const history = new LightHistory();
  for (const at of [1_000, 9_000, 10_000]) history.add(at, 1);
  history.add(2_000, 2);
  assert.deepEqual(history.points, [[1_000, 1], [2_000, 2]]);
});

/** Histories over a hub whose answers the test gives. */
function histories() {
  const asked = [];
  const changed = [];
  const api = {
    light: (mac) => new Promise((resolve, reject) => asked.push({ mac, resolve, reject })),
  };
  const clock = { known: Promise.resolve(), now: () => WINDOW_MS };
  const lights = new LightHistories(api, clock, (mac) => changed.push(mac));
  return { lights, asked, changed };
}

const settled = () => new Promise((resolve) => setImmediate(resolve));

test('the past is asked for once, and a few devices at a time', async () => {
  const { lights, asked, changed } = histories();
  for (const mac of ['a', 'b', 'c', 'a']) lights.follow(mac);
  await settled();
  assert.deepEqual(asked.map(({ mac }) => mac), ['a', 'b']);
  asked[0].resolve([[1, 1]]);
  await settled();
  assert.deepEqual(changed, ['a']);
  assert.deepEqual(asked.map(({ mac }) => mac), ['a', 'b', 'c']);
  assert.deepEqual(lights.points('a'), [[1, 1]]);
});

test('after an interruption, and after a failure, the past is asked for again', async () => {
  const { lights, asked } = histories();
  lights.follow('a');
  await settled();
  asked[0].reject(new Error('away'));
  await settled();
  lights.follow('a');
  await settled();
  assert.equal(asked.length, 2);
  asked[1].resolve([]);
  await settled();
  lights.interrupted();
  lights.follow('a');
  await settled();
  assert.equal(asked.length, 3);
});

test('a past that comes for a history that was forgotten is not taken', async () => {
  const { lights, asked } = histories();
  lights.follow('a');
  await settled();
  lights.forget('a');
  lights.follow('a');
  await settled();
  asked[0].resolve([[1, 1]]);
  asked[1].resolve([[2, 2]]);
  await settled();
  assert.deepEqual(lights.points('a'), [[2, 2]]);
});

test('only followed devices have a history', () => {
  const { lights } = histories();
  lights.add('a', '1970-01-01T00:00:01.000Z', 5);
  assert.deepEqual(lights.points('a'), []);
  lights.follow('a');
  lights.add('a', '1970-01-01T00:00:01.000Z', 5);
  assert.deepEqual(lights.points('a'), [[1_000, 5]]);
});
