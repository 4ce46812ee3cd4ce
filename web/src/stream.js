/**
 * The hub's event stream, held open for as long as the page lives.
 *
 * The browser's `EventSource` reconnects by itself (and asks for what it missed) when a connection
 * ends. It gives up on an answer that is not a stream, and it cannot notice that a connection has
 * gone silent because the other end lost its power. This module adds both.
 *
 * @import {HubEvent, Link} from './model.js'
 */

const EVENTS_URL = '/api/v1/events';
const HEALTH_URL = '/api/v1/health';

const EVENT_TYPES = /** @type {const} */ ([
  'snapshot',
  'device',
  'reading',
  'removed',
  'command',
  'storage',
]);

/** A first new try after this long, then ever more slowly, in milliseconds. */
const BACKOFF_FIRST_MS = 1_000;
const BACKOFF_MAX_MS = 15_000;

/**
 * After so long without an event, ask whether the hub is there at all, in milliseconds. Shorter
 * than any Pi takes to boot, so that a hub that lost its power is caught before it is back.
 */
const SILENCE_MS = 10_000;
const PROBE_TIMEOUT_MS = 5_000;

export class HubStream {
  #onEvent;
  #onLink;
  /** @type {EventSource | null} */
  #source = null;
  /** @type {Link} */
  #link = 'connecting';
  #backoff = BACKOFF_FIRST_MS;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #silence;

  /**
   * @param {object} listeners
   * @param {(event: HubEvent) => void} listeners.onEvent  Gets each event, in order.
   * @param {(link: Link) => void} listeners.onLink        Learns when the hub goes and returns.
   */
  constructor({ onEvent, onLink }) {
    this.#onEvent = onEvent;
    this.#onLink = onLink;
  }

  get link() {
    return this.#link;
  }

  /** Opens the stream; does nothing on one that is open. */
  start() {
    if (this.#source) return;
    clearTimeout(this.#retry);
    const source = new EventSource(EVENTS_URL);
    this.#source = source;
    source.addEventListener('open', () => this.#opened());
    source.addEventListener('error', () => this.#failed(source));
    for (const type of EVENT_TYPES) {
      source.addEventListener(type, ({ data }) => {
        this.#heard();
        this.#onEvent({ type, data: JSON.parse(data) });
      });
    }
    this.#heard();
  }

  /** Closes the stream. A later {@link start} begins with a snapshot. */
  stop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#silence);
    this.#source?.close();
    this.#source = null;
  }

  /** @param {Link} link */
  #tell(link) {
    if (link === this.#link) return;
    this.#link = link;
    this.#onLink(link);
  }

  #opened() {
    this.#backoff = BACKOFF_FIRST_MS;
    this.#tell('live');
  }

  /** @param {EventSource} source */
  #failed(source) {
    if (source !== this.#source) return;
    this.#tell('away');
    // Otherwise the browser is at it already.
    if (source.readyState === EventSource.CLOSED) this.#again();
  }

  #again() {
    this.stop();
    this.#tell('away');
    // A little chance keeps a room full of screens from returning in the same instant.
    this.#retry = setTimeout(() => this.start(), this.#backoff * (0.75 + Math.random() / 2));
    this.#backoff = Math.min(this.#backoff * 2, BACKOFF_MAX_MS);
  }

  #heard() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#probe(), SILENCE_MS);
  }

  async #probe() {
    const source = this.#source;
    const answered = await fetch(HEALTH_URL, {
      cache: 'no-store',
      signal: AbortSignal.timeout(PROBE_TIMEOUT_MS),
    }).then(
      // 503 is an answer too: the hub is there, and says what it can.
      () => true,
      () => false,
    );
    if (source === null || source !== this.#source) return;
    if (answered) this.#heard();
    else this.#again();
  }
}
