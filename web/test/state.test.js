import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Devices } from '../src/state.js';

const MAC = '61:EC:ED:3B:25:B1';
const OTHER = '61:EC:ED:3B:25:B2';
const T1 = '2026-01-01T10:00:01.000Z';
const T2 = '2026-01-01T10:00:02.000Z';
const T3 = '2026-01-01T10:00:03.000Z';

function device(mac, name, state = 'online') {
  const channels = { led: null, button: null, photoresistor: null };
  return { mac, name, state, first_seen: T1, last_seen: T1, joined_at: T1, left_at: null, channels };
}

function reading(channel, value, at) {
  return { type: 'reading', data: { mac: MAC, name: 'capteur01', channel, value, at } };
}

function command(id, state, value = true) {
  const confirmed_at = state === 'confirmed' ? T2 : null;
  const data = { id, device: MAC, channel: 'led', value, state, issued_at: T1, confirmed_at };
  return { type: 'command', data };
}

function holding(...devices) {
  const state = new Devices();
  state.apply({ type: 'snapshot', data: { devices } });
  return state;
}

test('before the first snapshot nothing is known, not even that there is nothing', () => {
  const state = new Devices();
  assert.equal(state.known, false);
  assert.deepEqual(state.replay(), []);
  state.apply({ type: 'snapshot', data: { devices: [] } });
  assert.equal(state.known, true);
});

test('a snapshot replaces everything', () => {
  const state = holding(device(MAC, 'capteur01'));
  state.apply(command('1-1', 'sent'));
  const change = state.apply({ type: 'snapshot', data: { devices: [device(OTHER, 'capteur02')] } });
  assert.deepEqual(change, { macs: [OTHER], order: true, presence: true });
  assert.equal(state.get(MAC), undefined);
  assert.equal(state.waiting(MAC), undefined);
});

test('a device event says whether order or presence changed', () => {
  const state = holding(device(MAC, 'capteur01'));
  const apply = (data) => state.apply({ type: 'device', data });
  const same = { macs: [MAC], order: false, presence: false };
  assert.deepEqual(apply(device(MAC, 'capteur01')), same);
  assert.deepEqual(apply(device(MAC, 'LeBron')), { ...same, order: true });
  assert.deepEqual(apply(device(MAC, 'LeBron', 'offline')), { ...same, presence: true });
  assert.deepEqual(apply(device(OTHER, 'capteur02')), { macs: [OTHER], order: true, presence: true });
  assert.equal(state.size, 2);
});

test('a reading moves the channel and what was seen last', () => {
  const state = holding(device(MAC, 'capteur01'));
  state.apply(reading('button', true, T1));
  state.apply(reading('button', true, T2));
  assert.deepEqual(state.get(MAC).channels.button, { value: true, at: T2, changed_at: T1 });
  state.apply(reading('button', false, T3));
  assert.deepEqual(state.get(MAC).channels.button, { value: false, at: T3, changed_at: T3 });
  assert.equal(state.get(MAC).last_seen, T3);
  state.apply(reading('photoresistor', 58, T3));
  assert.deepEqual(state.get(MAC).channels.photoresistor, { value: 58, unit: '%', at: T3, changed_at: T3 });
});

test('a reading holds even when the clock of the hub was set back', () => {
  const state = holding(device(MAC, 'capteur01'));
  state.apply(reading('photoresistor', 10, T3));
  state.apply(reading('photoresistor', 20, T1));
  assert.equal(state.get(MAC).channels.photoresistor.value, 20);
});

test('a reading or a command of nobody changes nothing', () => {
  const state = holding();
  const nothing = { macs: [], order: false, presence: false };
  assert.deepEqual(state.apply(reading('led', true, T1)), nothing);
  assert.deepEqual(state.apply(command('1-1', 'sent')), nothing);
  assert.deepEqual(state.apply({ type: 'removed', data: { mac: MAC } }), nothing);
  assert.deepEqual(state.apply({ type: 'of the future', data: {} }), nothing);
});

test('a removed device is gone, with what waits for it', () => {
  const state = holding(device(MAC, 'capteur01'));
  state.apply(command('1-1', 'sent'));
  const change = state.apply({ type: 'removed', data: { mac: MAC } });
  assert.deepEqual(change, { macs: [MAC], order: true, presence: true });
  assert.equal(state.size, 0);
  assert.equal(state.waiting(MAC), undefined);
});

test('a command waits until it ends, and shows nothing before', () => {
  for (const end of ['confirmed', 'timed_out', 'superseded']) {
    const state = holding(device(MAC, 'capteur01'));
    state.apply(command('1-1', 'sent'));
    assert.equal(state.waiting(MAC).id, '1-1');
    assert.equal(state.get(MAC).channels.led, null);
    state.apply(command('1-1', end));
    assert.equal(state.waiting(MAC), undefined);
    assert.equal(state.get(MAC).channels.led?.value, end === 'confirmed' ? true : undefined);
  }
});

test('the end of an old command does not end the one that took its place', () => {
  const state = holding(device(MAC, 'capteur01'));
  state.apply(command('1-1', 'sent', true));
  state.apply(command('1-2', 'sent', false));
  state.apply(command('1-1', 'superseded', true));
  assert.equal(state.waiting(MAC).id, '1-2');
});

test('a confirmation that comes late does not undo a newer reading', () => {
  const state = holding(device(MAC, 'capteur01'));
  state.apply(reading('led', false, T3));
  state.apply(command('1-1', 'confirmed', true));
  assert.equal(state.get(MAC).channels.led.value, false);
});

test('the store is well until the hub says otherwise, and after a snapshot', () => {
  const state = holding();
  assert.equal(state.storage, null);
  const storage = { recording: false, needed_bytes: 1, time_uncertain: false, recovered: null };
  state.apply({ type: 'storage', data: storage });
  assert.deepEqual(state.storage, storage);
  const copy = new Devices();
  for (const event of state.replay()) copy.apply(event);
  assert.deepEqual(copy.storage, storage);
  state.apply({ type: 'snapshot', data: { devices: [] } });
  assert.equal(state.storage, null);
});

test('a replay leads a newcomer to the same state', () => {
  const state = holding(device(MAC, 'capteur01'), device(OTHER, 'capteur02', 'offline'));
  state.apply(reading('led', true, T2));
  state.apply(command('1-2', 'sent', false));
  const copy = new Devices();
  for (const event of state.replay()) copy.apply(event);
  assert.deepEqual(copy.all(), state.all());
  assert.deepEqual(copy.waiting(MAC), state.waiting(MAC));
});
