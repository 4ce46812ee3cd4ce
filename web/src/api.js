/**
 * The calls that the page makes.
 *
 * @import {HubClock} from './clock.js'
 * @import {Command, Device} from './model.js'
 */

const BASE = '/api/v1';

/** Longer than any device gets to confirm a command, in milliseconds. */
const TIMEOUT_MS = 15_000;

/** The most light levels to ask for at once: minutes of a board that reports ten times a second. */
const LIGHT_LIMIT = 5_000;

/** The hub said no, and why (RFC 9457). */
export class Problem extends Error {
  /**
   * @param {number} status      The HTTP status.
   * @param {string} detail      The hub's explanation, in English.
   * @param {string} [kind]      The kind of problem, such as `name-taken`.
   * @param {Command} [command]  What became of the command, where the problem is a command's.
   */
  constructor(status, detail, kind, command) {
    super(detail);
    this.name = 'Problem';
    this.status = status;
    this.detail = detail;
    this.kind = kind;
    this.command = command;
  }
}

/** The hub did not answer. */
export class Unreachable extends Error {}

export class HubApi {
  #clock;

  /** @param {HubClock} clock  Learns the hub's time from its answers. */
  constructor(clock) {
    this.#clock = clock;
  }

  /**
   * Asks the hub how it is, which also sets the clock.
   *
   * A hub in trouble (503) says the rest all the same.
   *
   * @returns {Promise<{mqtt_port: number}>} Among other things, the port that boards connect to.
   */
  health() {
    return this.#call('GET', '/health', undefined, 503);
  }

  /**
   * Orders the LED and waits until the device has confirmed.
   *
   * @param {string} mac
   * @param {boolean} on
   * @returns {Promise<Command>}
   */
  setLed(mac, on) {
    return this.#call('PUT', `/devices/${encodeURIComponent(mac)}/led`, { on });
  }

  /**
   * @param {string} mac
   * @param {string} name
   * @returns {Promise<Device>}
   */
  rename(mac, name) {
    return this.#call('PATCH', `/devices/${encodeURIComponent(mac)}`, { name });
  }

  /**
   * Gives a device a new board.
   *
   * @param {string} mac
   * @param {string} board  The new board's MAC.
   * @returns {Promise<Device>}
   */
  replace(mac, board) {
    return this.#call('POST', `/devices/${encodeURIComponent(mac)}/replace`, { mac: board });
  }

  /**
   * Gives a device its old board back.
   *
   * @param {string} mac
   * @returns {Promise<Device>}
   */
  undoReplacement(mac) {
    return this.#call('DELETE', `/devices/${encodeURIComponent(mac)}/replace`);
  }

  /**
   * The light levels since `from`, oldest first.
   *
   * @param {string} mac
   * @param {number} from  Milliseconds since 1970, on the hub's clock.
   * @returns {Promise<[number, number][]>} Time in milliseconds and percent.
   */
  async light(mac, from) {
    const query = new URLSearchParams({
      from: new Date(from).toISOString(),
      resolution: 'raw',
      limit: String(LIGHT_LIMIT),
    });
    const path = `/devices/${encodeURIComponent(mac)}/readings/photoresistor?${query}`;
    const { points } = await this.#call('GET', path);
    return points;
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {unknown} [body]
   * @param {number} [also]  A status that brings an answer beside those of success.
   */
  async #call(method, path, body, also) {
    let response;
    let answer;
    try {
      response = await fetch(BASE + path, {
        method,
        cache: 'no-store',
        signal: AbortSignal.timeout(TIMEOUT_MS),
        ...(body === undefined
          ? {}
          : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      answer = await response.text();
    } catch (cause) {
      throw new Unreachable('the hub did not answer', { cause });
    }
    this.#clock.observe(response.headers.get('date'));
    if (!response.ok && response.status !== also) throw problem(response, answer);
    return JSON.parse(answer);
  }
}

/**
 * Reads a refusal. A proxy's may be anything, so this never fails.
 *
 * @param {Response} response
 * @param {string} answer
 */
function problem({ status, statusText }, answer) {
  try {
    const { type, detail, title, command, errors } = JSON.parse(answer);
    const kind = String(type).replace('/problems/', '');
    // Without the name of the field: a form has that before it.
    return new Problem(status, String(errors?.[0]?.detail ?? detail ?? title), kind, command);
  } catch {
    return new Problem(status, `${status} ${statusText}`.trim());
  }
}
