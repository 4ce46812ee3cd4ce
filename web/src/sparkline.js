/**
 * The geometry of the light level's line.
 *
 * @import {Point} from './light.js'
 */

/** The box that the line is drawn in; the picture is stretched to its place. */
export const WIDTH = 300;
export const HEIGHT = 60;

/** Room for the stroke above 100 % and below 0 %. */
const MARGIN = 3;

/** A silence of so many usual intervals is a hole in the line, not a slope. */
const GAP_INTERVALS = 4;
const GAP_MIN_MS = 5_000;

/**
 * @typedef {object} Sparkline
 * @property {string} line    The path of the line; with holes where nothing was heard.
 * @property {string} area    The path of what lies under it.
 * @property {string} end     The newest point, as a path of no length.
 * @property {number} min     The least level shown.
 * @property {number} max     The greatest.
 */

/**
 * Draws the points between two times.
 *
 * @param {readonly Point[]} points  In order of time.
 * @param {number} from              The left edge, in milliseconds since 1970.
 * @param {number} to                The right edge.
 * @returns {Sparkline | null} `null` where there is nothing to draw.
 */
export function sparkline(points, from, to) {
  const first = points.findIndex(([at]) => at >= from);
  if (first < 0) return null;
  const inside = points.slice(first);
  const x = (/** @type {number} */ at) => round(((at - from) / (to - from)) * WIDTH);
  const y = (/** @type {number} */ value) =>
    round(HEIGHT - MARGIN - (value / 100) * (HEIGHT - 2 * MARGIN));

  // The point before the window, if any, so that the line comes in from the edge.
  const runs = split(thin(points.slice(Math.max(0, first - 1)), (to - from) / WIDTH));
  let line = '';
  let area = '';
  for (const run of runs) {
    const path = run.map(([at, value]) => `${x(at)} ${y(value)}`).join('L');
    line += `M${path}`;
    area += `M${x(run[0][0])} ${HEIGHT}L${path}V${HEIGHT}Z`;
  }
  const [at, value] = /** @type {Point} */ (inside.at(-1));
  const values = inside.map((point) => point[1]);
  return {
    line,
    area,
    end: `M${x(at)} ${y(value)}h0`,
    min: values.reduce((a, b) => Math.min(a, b)),
    max: values.reduce((a, b) => Math.max(a, b)),
  };
}

/**
 * Cuts the points where the device was silent.
 *
 * @param {Point[]} points
 * @returns {[Point, ...Point[]][]}
 */
function split(points) {
  const gap = Math.max(GAP_MIN_MS, GAP_INTERVALS * medianInterval(points));
  /** @type {[Point, ...Point[]][]} */
  const runs = [];
  let last = -Infinity;
  for (const point of points) {
    const run = runs.at(-1);
    if (run && point[0] - last <= gap) run.push(point);
    else runs.push([point]);
    last = point[0];
  }
  return runs;
}

/** @param {Point[]} points */
function medianInterval(points) {
  const intervals = points.slice(1).map(([at], i) => at - /** @type {Point} */ (points[i])[0]);
  intervals.sort((a, b) => a - b);
  return intervals[Math.floor(intervals.length / 2)] ?? 0;
}

/**
 * Keeps of each column of the picture the least, the greatest and the last level: nobody sees more.
 *
 * @param {Point[]} points
 * @param {number} column  The width of a column, in milliseconds.
 * @returns {Point[]}
 */
function thin(points, column) {
  if (points.length <= WIDTH) return points;
  /** @type {Map<number, Point[]>} */
  const columns = new Map();
  for (const point of points) {
    const key = Math.floor(point[0] / column);
    const members = columns.get(key);
    if (members) members.push(point);
    else columns.set(key, [point]);
  }
  return [...columns.values()].flatMap((members) => {
    const least = members.reduce((a, b) => (b[1] < a[1] ? b : a));
    const greatest = members.reduce((a, b) => (b[1] > a[1] ? b : a));
    const kept = new Set([least, greatest, members.at(-1)]);
    return members.filter((point) => kept.has(point));
  });
}

/** @param {number} value */
function round(value) {
  return Math.round(value * 10) / 10;
}
