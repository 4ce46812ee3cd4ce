import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { HubStream } from '../src/stream.js';

/** A stand-in for the browser's. */
class FakeEventSource extends EventTarget {
  static CLOSED = 2;
  static all = [];
  readyState = 0;

  constructor(url) {
    super();
    this.url = url;
    FakeEventSource.all.push(this);
  }

  close() {
    this.readyState = FakeEventSource.CLOSED;
  }

  fail(readyState) {
    this.readyState = readyState;
    this.dispatchEvent(new Event('error'));
  }
}

const latest = () => FakeEventSource.all.at(-1);
const settled = () => new Promise((resolve) => setImmediate(resolve));

let links;
let events;
let stream;
/** Whether the hub answers probes. */
let alive;

beforeEach(() => {
  mock.timers.enable({ apis: ['setTimeout'] });
  mock.method(Math, 'random', () => 0.5);
  FakeEventSource.all = [];
  globalThis.EventSource = FakeEventSource;
  alive = true;
  mock.method(globalThis, 'fetch', async () => {
    if (!alive) throw new TypeError('no route');
  });
  links = [];
  events = [];
  stream = new HubStream({ onEvent: (e) => events.push(e), onLink: (l) => links.push(l) });
  stream.start();
});

afterEach(() => {
  stream.stop();
  mock.timers.reset();
  mock.restoreAll();
});

test('named events come out as types with data', () => {
  latest().dispatchEvent(new Event('open'));
  latest().dispatchEvent(new MessageEvent('removed', { data: '{"mac":"A"}' }));
  assert.deepEqual(events, [{ type: 'removed', data: { mac: 'A' } }]);
  assert.deepEqual(links, ['live']);
});

test('what the browser repairs is left to it', () => {
  latest().fail(0);
  assert.deepEqual(links, ['away']);
  mock.timers.tick(9_000);
  assert.equal(FakeEventSource.all.length, 1);
  latest().dispatchEvent(new Event('open'));
  assert.deepEqual(links, ['away', 'live']);
});

test('a stream that the browser gave up is opened again, ever more slowly', () => {
  latest().fail(FakeEventSource.CLOSED);
  assert.deepEqual(links, ['away']);
  for (const [attempt, ms] of [1_000, 2_000, 4_000, 8_000, 15_000, 15_000].entries()) {
    mock.timers.tick(ms - 1);
    assert.equal(FakeEventSource.all.length, attempt + 1);
    mock.timers.tick(1);
    assert.equal(FakeEventSource.all.length, attempt + 2);
    latest().fail(FakeEventSource.CLOSED);
  }
  mock.timers.tick(15_000);
  latest().dispatchEvent(new Event('open'));
  latest().fail(FakeEventSource.CLOSED);
  const before = FakeEventSource.all.length;
  mock.timers.tick(1_000);
  assert.equal(FakeEventSource.all.length, before + 1, 'quick again after a success');
});

test('a silent hub is asked, and only one that does not answer is away', async () => {
  latest().dispatchEvent(new Event('open'));
  mock.timers.tick(10_000);
  await settled();
  assert.equal(fetch.mock.callCount(), 1);
  assert.equal(FakeEventSource.all.length, 1);
  alive = false;
  mock.timers.tick(10_000);
  await settled();
  assert.deepEqual(links, ['live', 'away']);
  mock.timers.tick(1_000);
  assert.equal(FakeEventSource.all.length, 2);
});

test('a hub that talks is not asked', () => {
  for (let i = 0; i < 20; i += 1) {
    mock.timers.tick(5_000);
    latest().dispatchEvent(new MessageEvent('removed', { data: '{"mac":"A"}' }));
  }
  assert.equal(fetch.mock.callCount(), 0);
});

test('a stopped stream stays closed', () => {
  const source = latest();
  stream.stop();
  source.fail(FakeEventSource.CLOSED);
  mock.timers.tick(60_000);
  assert.equal(FakeEventSource.all.length, 1);
  assert.deepEqual(links, []);
});
