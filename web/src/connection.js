/**
 * How this tab hears the hub: through the worker that all tabs share or, where a browser has no
 * shared workers (Chrome on Android), by itself.
 *
 * @import {HubEvent, Link} from './model.js'
 * @import {FromWorker, ToWorker} from './worker.js'
 */

import { HubStream } from './stream.js';

/** A worker that has not said anything for so long never will. */
const WORKER_TIMEOUT_MS = 5_000;

/**
 * @typedef {object} Listeners
 * @property {(events: HubEvent[]) => void} onEvents
 * @property {(link: Link) => void} onLink
 */

/**
 * Listens to the hub for the life of the page.
 *
 * @param {Listeners} listeners
 */
export function connect(listeners) {
  if (!('SharedWorker' in globalThis)) {
    listenAlone(listeners);
    return;
  }
  let leave = attach(listeners);
  // A page in the back-forward cache is asleep: nothing should pile up for it.
  addEventListener('pagehide', () => leave());
  addEventListener('pageshow', ({ persisted }) => {
    if (persisted) leave = attach(listeners);
  });
}

/**
 * @param {Listeners} listeners
 * @returns {() => void} Leaves the worker.
 */
function attach(listeners) {
  const worker = new SharedWorker('/src/worker.js', { type: 'module', name: 'capteur' });
  const { port } = worker;
  const leave = () => {
    clearTimeout(patience);
    /** @type {ToWorker} */
    const message = 'leave';
    port.postMessage(message);
    port.close();
  };
  const giveUp = () => {
    worker.onerror = null;
    leave();
    listenAlone(listeners);
  };
  const patience = setTimeout(giveUp, WORKER_TIMEOUT_MS);
  worker.onerror = giveUp;
  port.onmessage = ({ data }) => {
    clearTimeout(patience);
    const { link, events = [] } = /** @type {FromWorker} */ (data);
    listeners.onLink(link);
    if (events.length > 0) listeners.onEvents(events);
  };
  return leave;
}

/** @param {Listeners} listeners */
function listenAlone({ onEvents, onLink }) {
  const stream = new HubStream({ onEvent: (event) => onEvents([event]), onLink });
  stream.start();
  // A hidden tab gives its connection back: the browser has six for all of them.
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) stream.stop();
    else stream.start();
  });
}
