import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Notices } from '../src/notices.js';

const WELL = { recording: true, needed_bytes: null, time_uncertain: false, recovered: null };
const RECOVERED = { at: '2026-01-01T10:00:00.000Z', set_aside: 'damaged-1' };

function memory() {
  const kept = new Map();
  return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value) };
}

test('a store that is well, or that nothing was heard of, needs no words', () => {
  const notices = new Notices(memory());
  assert.deepEqual(notices.of(null), []);
  assert.deepEqual(notices.of(WELL), []);
});

test('the gravest comes first', () => {
  const all = { ...WELL, recording: false, time_uncertain: true, recovered: RECOVERED };
  assert.deepEqual(new Notices(memory()).of(all), ['full', 'time', 'recovered']);
});

test('that nothing is recorded cannot be dismissed', () => {
  const notices = new Notices(memory());
  const full = { ...WELL, recording: false };
  notices.dismiss('full', full);
  assert.deepEqual(notices.of(full), ['full']);
});

test('a time that becomes uncertain again is said again', () => {
  const notices = new Notices(memory());
  const uncertain = { ...WELL, time_uncertain: true };
  notices.dismiss('time', uncertain);
  assert.deepEqual(notices.of(uncertain), []);
  notices.of(WELL);
  assert.deepEqual(notices.of(uncertain), ['time']);
});

test('a recovery is read once, and the next one is said again', () => {
  const kept = memory();
  const recovered = { ...WELL, recovered: RECOVERED };
  new Notices(kept).dismiss('recovered', recovered);
  assert.deepEqual(new Notices(kept).of(recovered), []);
  const later = { ...WELL, recovered: { ...RECOVERED, at: '2026-02-01T10:00:00.000Z' } };
  assert.deepEqual(new Notices(kept).of(later), ['recovered']);
});

test('without a memory a recovery is read for the life of the page', () => {
  const notices = new Notices(null);
  const recovered = { ...WELL, recovered: RECOVERED };
  notices.dismiss('recovered', recovered);
  assert.deepEqual(notices.of(recovered), []);
});
