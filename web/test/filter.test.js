import assert from 'node:assert/strict';
import { test } from 'node:test';
import { byName, matches } from '../src/filter.js';

const device = (name, state = 'online') => ({ name, state, mac: '61:EC:ED:3B:25:B1' });

test('numbers in names count as numbers', () => {
  const names = byName(['capteur10', 'LeBron', 'capteur9', 'Capteur1'].map((name) => device(name)));
  assert.deepEqual(names.map(({ name }) => name), ['Capteur1', 'capteur9', 'capteur10', 'LeBron']);
});

test('a search finds parts of names and addresses, whatever the case and the accents', () => {
  assert.ok(matches(device('Fenêtre'), ' FENET', 'all'));
  assert.ok(matches(device('x'), 'ed:3b', 'all'));
  assert.ok(matches(device('x'), '', 'all'));
  assert.ok(!matches(device('x'), 'y', 'all'));
});

test('who is not online is offline, joining or pending', () => {
  for (const state of ['offline', 'joining', 'pending']) {
    assert.ok(matches(device('x', state), '', 'offline'), state);
    assert.ok(!matches(device('x', state), '', 'online'), state);
  }
  assert.ok(matches(device('x'), '', 'online'));
  assert.ok(!matches(device('x'), '', 'offline'));
});
