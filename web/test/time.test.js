import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HubClock } from '../src/clock.js';
import { ago, lasted } from '../src/time.js';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;

test('ages are told in the largest whole unit', () => {
  const words = (ms) => ago(ms, 'en', 'just now');
  assert.equal(words(0), 'just now');
  assert.equal(words(4_999), 'just now');
  assert.equal(words(12 * SECOND), '12 sec. ago');
  assert.equal(words(59_999), '59 sec. ago');
  assert.equal(words(5 * MINUTE), '5 min. ago');
  assert.equal(words(3 * HOUR), '3 hr. ago');
  assert.equal(words(49 * HOUR), '2 days ago');
});

test('what lies in the future is now', () => {
  assert.equal(ago(-HOUR, 'en', 'just now'), 'just now');
});

test('ages are told in French', () => {
  assert.match(ago(12 * SECOND, 'fr', 'à l’instant'), /^il y a 12/);
});

test('how long something has lasted is told in its largest whole unit', () => {
  assert.equal(lasted(0, 'en'), '0 sec');
  assert.equal(lasted(59, 'en'), '59 sec');
  assert.equal(lasted(119, 'en'), '1 min');
  assert.equal(lasted(7_200, 'en'), '2 hr');
  assert.equal(lasted(3 * 86_400, 'en'), '3 days');
  assert.match(lasted(3 * 86_400, 'fr'), /^3\sj$/);
});

test('the clock follows the hub when it is far off, and trusts the browser otherwise', async () => {
  const clock = new HubClock();
  clock.observe('not a date');
  clock.observe(null);
  assert.ok(Math.abs(clock.now() - Date.now()) < SECOND);
  clock.observe(new Date(Date.now() - 5 * HOUR).toUTCString());
  await clock.known;
  assert.ok(Math.abs(Date.now() - 5 * HOUR - clock.now()) < 2 * SECOND);
  clock.observe(new Date().toUTCString());
  assert.ok(Math.abs(clock.now() - Date.now()) < SECOND);
});
