/**
 * The hub's time of day, as well as a browser can know it.
 *
 * A Raspberry Pi has no battery clock: it may be hours off until it finds a time server. "Seen 3
 * seconds ago" must hold all the same, so ages are counted on the hub's clock.
 */

/** `Date` headers count whole seconds; less than this is no difference, in milliseconds. */
const TOLERANCE_MS = 2_000;

export class HubClock {
  #offset = 0;
  /** @type {() => void} */
  #learned = () => {};

  /** Fulfilled once the hub has told its time. */
  known = new Promise((/** @type {(value: void) => void} */ resolve) => {
    this.#learned = resolve;
  });

  /** Now, on the hub's clock, in milliseconds since 1970. */
  now() {
    return Date.now() + this.#offset;
  }

  /**
   * Learns from an answer of the hub.
   *
   * @param {string | null} date  The answer's `Date` header.
   */
  observe(date) {
    const there = Date.parse(date ?? '') + 500;
    if (Number.isNaN(there)) return;
    const offset = there - Date.now();
    this.#offset = Math.abs(offset) < TOLERANCE_MS ? 0 : offset;
    this.#learned();
  }
}
