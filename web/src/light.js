/**
 * The light levels of the last minutes: what the hub remembers, then what the stream adds.
 *
 * Only devices that somebody looks at have a history here; the others' would be read by nobody.
 *
 * @import {HubApi} from './api.js'
 * @import {HubClock} from './clock.js'
 */

/** How far back the line goes, in milliseconds. */
export const WINDOW_MS = 5 * 60_000;

/** Requests for history at once: the browser's other connections are for people's orders. */
const CONCURRENT = 2;

/** A level at a time: milliseconds since 1970 and percent.
 * @typedef {[number, number]} Point */

/** The points of one device, in order of time. */
export class LightHistory {
  /** @type {Point[]} */
  points = [];

  /**
   * Adds the newest point.
   *
   * @param {number} at
   * @param {number} value
   */
  add(at, value) {
    // A clock that was set back disowns what it said of the time after.
    while (this.points.length > 0 && /** @type {Point} */ (this.points.at(-1))[0] > at) {
      this.points.pop();
    }
    this.points.push([at, value]);
    this.#forget(at);
  }

  /** Adds points of the past, some of which may be known already.
   * @param {Point[]} past */
  merge(past) {
    const distinct = new Map([...past, ...this.points].map((point) => [point.join(), point]));
    this.points = [...distinct.values()].sort((a, b) => a[0] - b[0]);
    const last = this.points.at(-1);
    if (last) this.#forget(last[0]);
  }

  /** @param {number} now */
  #forget(now) {
    const first = this.points.findIndex(([at]) => at >= now - WINDOW_MS);
    // One older point stays: the line enters the window from there.
    if (first > 1) this.points.splice(0, first - 1);
  }
}

/** The histories of all devices that are or were looked at. */
export class LightHistories {
  #api;
  #clock;
  #onChange;
  /** @type {Map<string, LightHistory>} */
  #histories = new Map();
  /** Whose past has been asked for since the stream last began afresh.
   * @type {Set<string>} */
  #asked = new Set();
  /** @type {string[]} */
  #queue = [];
  #running = 0;

  /**
   * @param {HubApi} api
   * @param {HubClock} clock
   * @param {(mac: string) => void} onChange  Learns whose past has come.
   */
  constructor(api, clock, onChange) {
    this.#api = api;
    this.#clock = clock;
    this.#onChange = onChange;
  }

  /** The known points of a device.
   * @param {string} mac
   * @returns {readonly Point[]} */
  points(mac) {
    return this.#histories.get(mac)?.points ?? [];
  }

  /** Begins (or goes on) to follow a device that somebody looks at.
   * @param {string} mac */
  follow(mac) {
    if (this.#asked.has(mac)) return;
    this.#asked.add(mac);
    if (!this.#histories.has(mac)) this.#histories.set(mac, new LightHistory());
    this.#queue.push(mac);
    this.#next();
  }

  /**
   * @param {string} mac
   * @param {string} at
   * @param {number} value
   */
  add(mac, at, value) {
    this.#histories.get(mac)?.add(Date.parse(at), value);
  }

  /** @param {string} mac */
  forget(mac) {
    this.#histories.delete(mac);
    this.#asked.delete(mac);
  }

  /** The stream began afresh: what came in between is in the hub's memory alone. */
  interrupted() {
    this.#asked.clear();
    this.#queue.length = 0;
  }

  #next() {
    while (this.#running < CONCURRENT) {
      const mac = this.#queue.shift();
      if (mac === undefined) return;
      this.#running += 1;
      this.#fetch(mac).finally(() => {
        this.#running -= 1;
        this.#next();
      });
    }
  }

  /** @param {string} mac */
  async #fetch(mac) {
    try {
      await this.#clock.known;
      const history = this.#histories.get(mac);
      const past = await this.#api.light(mac, this.#clock.now() - WINDOW_MS);
      // Forgotten meanwhile: it was another device's.
      if (history !== this.#histories.get(mac)) return;
      history?.merge(past);
      this.#onChange(mac);
    } catch {
      // The line then begins with the stream; the next look asks again.
      this.#asked.delete(mac);
    }
  }
}
