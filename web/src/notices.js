/**
 * What people should know of the hub's store, and what they have read already.
 *
 * @import {Storage} from './model.js'
 *
 * @typedef {'full' | 'time' | 'recovered'} Notice
 */

const STORAGE_KEY = 'capteur.recovery-read';

export class Notices {
  /** @type {Set<Notice>} */
  #dismissed = new Set();
  #read;

  /** @param {Pick<globalThis.Storage, 'getItem' | 'setItem'> | null} memory  What outlives the page. */
  constructor(memory = browserMemory()) {
    this.memory = memory;
    this.#read = memory?.getItem(STORAGE_KEY) ?? '';
  }

  /**
   * The notices to show, the gravest first.
   *
   * @param {Storage | null} storage
   * @returns {Notice[]}
   */
  of(storage) {
    if (!storage) return [];
    /** @type {Notice[]} */
    const notices = [];
    // That readings are lost now is not to be dismissed.
    if (!storage.recording) notices.push('full');
    if (!storage.time_uncertain) this.#dismissed.delete('time');
    else if (!this.#dismissed.has('time')) notices.push('time');
    if (storage.recovered && storage.recovered.at !== this.#read) notices.push('recovered');
    return notices;
  }

  /**
   * @param {Notice} notice
   * @param {Storage | null} storage
   */
  dismiss(notice, storage) {
    this.#dismissed.add(notice);
    if (notice !== 'recovered' || !storage?.recovered) return;
    this.#read = storage.recovered.at;
    try {
      this.memory?.setItem(STORAGE_KEY, this.#read);
    } catch {
      // Storage is full: the notice comes again with the next page.
    }
  }
}

function browserMemory() {
  try {
    return globalThis.localStorage ?? null;
  } catch {
    // Storage is forbidden.
    return null;
  }
}
