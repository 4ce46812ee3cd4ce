/**
 * One stream for all tabs of a browser.
 *
 * Over plain HTTP a browser opens at most six connections to a host. If every tab held a stream of
 * its own, the seventh would hang, and so would every request. This shared worker holds the only
 * one. (Web Locks would do too, but exist on secure origins alone.)
 *
 * @import {HubEvent, Link} from './model.js'
 *
 * @typedef {{link: Link, events?: HubEvent[]}} FromWorker  What a tab hears.
 * @typedef {'leave'} ToWorker                              What a tab says before it goes.
 */

import { Devices } from './state.js';
import { HubStream } from './stream.js';

/** Events are handed on together, at most once in so many milliseconds. */
const BATCH_MS = 16;

/** @type {Set<MessagePort>} */
const tabs = new Set();
const devices = new Devices();

/** @type {HubEvent[]} */
let batch = [];

const stream = new HubStream({
  onEvent(event) {
    if (batch.length === 0) setTimeout(flush, BATCH_MS);
    batch.push(event);
  },
  onLink() {
    flush();
  },
});

function flush() {
  const events = batch;
  batch = [];
  for (const event of events) devices.apply(event);
  for (const tab of tabs) tell(tab, events);
}

/**
 * @param {MessagePort} tab
 * @param {HubEvent[]} events
 */
function tell(tab, events) {
  /** @type {FromWorker} */
  const message = { link: stream.link, events };
  tab.postMessage(message);
}

addEventListener('connect', (event) => {
  const [tab] = /** @type {MessageEvent} */ (event).ports;
  if (!tab) return;
  tab.onmessage = () => tabs.delete(tab);
  // Only what has been flushed is in the state: the rest comes with the next batch.
  tell(tab, devices.replay());
  tabs.add(tab);
  stream.start();
});
