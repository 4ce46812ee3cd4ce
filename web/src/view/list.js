/**
 * All cards, for any number of devices.
 *
 * A card that nobody sees is drawn once, in idle moments (so that the browser's own search and
 * screen readers find it), and after that only when it comes into view.
 *
 * @import {Context} from './context.js'
 */

import { html, render } from '/vendor/lit-html.js';
import { repeat } from '/vendor/directives/repeat.js';
import { Card } from './card.js';

/** How far outside the window a card counts as seen. */
const MARGIN = '300px';

/** What cards that nobody sees may take of a frame, in milliseconds. */
const BUDGET_MS = 6;

export class CardList {
  element = document.createElement('ul');
  #context;
  /** @type {Map<string, Card>} */
  #cards = new Map();
  /** In view, or nearly. @type {Set<string>} */
  #seen = new Set();
  /** Must be drawn in the next frame. @type {Set<string>} */
  #due = new Set();
  /** Must be drawn before they are seen. @type {Set<string>} */
  #stale = new Set();
  /** Have never been drawn. @type {Set<string>} */
  #blank = new Set();
  #observer;

  /** @param {Context} context */
  constructor(context) {
    this.#context = context;
    this.element.className = 'cards';
    // Safari takes the meaning from lists without bullets; this gives it back.
    this.element.setAttribute('role', 'list');
    this.#observer = new IntersectionObserver((entries) => this.#looked(entries), {
      rootMargin: MARGIN,
    });
  }

  /** Has a device's card drawn: now if it is seen, else when it will be.
   * @param {string} mac */
  touch(mac) {
    (this.#seen.has(mac) ? this.#due : this.#stale).add(mac);
  }

  /** Has all cards drawn. */
  touchAll() {
    for (const mac of this.#cards.keys()) this.touch(mac);
  }

  /** Has the cards drawn that are seen. */
  touchSeen() {
    for (const mac of this.#seen) this.#due.add(mac);
  }

  /** Shows that a device's button has been pressed.
   * @param {string} mac */
  press(mac) {
    if (this.#seen.has(mac)) this.#cards.get(mac)?.press();
  }

  /** Gives a device's card the focus, and brings it into view.
   * @param {string} mac */
  focus(mac) {
    this.#cards.get(mac)?.focus();
  }

  /** A MAC has become another device's: what was its past is not.
   * @param {string} mac */
  renew(mac) {
    this.#context.lights.forget(mac);
    if (this.#seen.has(mac)) this.#context.lights.follow(mac);
  }

  /** Asks again for the past of every device in view. */
  followSeen() {
    for (const mac of this.#seen) this.#context.lights.follow(mac);
  }

  /** Shows these devices, in this order.
   * @param {string[]} macs */
  arrange(macs) {
    const focused = document.activeElement;
    render(
      repeat(macs, (mac) => mac, (mac) => html`${this.#card(mac).element}`),
      this.element,
    );
    // An element that is moved loses the focus.
    if (focused instanceof HTMLElement && focused !== document.activeElement) {
      if (this.element.contains(focused)) focused.focus({ preventScroll: true });
    }
  }

  /** Throws the cards away whose devices are no more. */
  prune() {
    for (const [mac, card] of this.#cards) {
      if (this.#context.devices.get(mac)) continue;
      this.#observer.unobserve(card.element);
      this.#context.lights.forget(mac);
      this.#cards.delete(mac);
      for (const set of [this.#seen, this.#due, this.#stale, this.#blank]) set.delete(mac);
    }
  }

  /**
   * Draws what is due.
   *
   * @returns {boolean} Whether there is more to draw, in another frame.
   */
  draw() {
    for (const mac of this.#due) this.#draw(mac);
    const end = performance.now() + BUDGET_MS;
    for (const mac of this.#blank) {
      if (performance.now() > end) return true;
      this.#draw(mac);
    }
    return false;
  }

  /** @param {string} mac */
  #draw(mac) {
    for (const set of [this.#due, this.#stale, this.#blank]) set.delete(mac);
    this.#cards.get(mac)?.draw();
  }

  /** @param {string} mac */
  #card(mac) {
    let card = this.#cards.get(mac);
    if (!card) {
      card = new Card(mac, this.#context);
      this.#cards.set(mac, card);
      this.#blank.add(mac);
      this.#observer.observe(card.element);
    }
    return card;
  }

  /** @param {IntersectionObserverEntry[]} entries */
  #looked(entries) {
    for (const { target, isIntersecting } of entries) {
      const mac = /** @type {HTMLElement} */ (target).dataset.mac ?? '';
      if (!isIntersecting) {
        this.#seen.delete(mac);
      } else if (this.#cards.has(mac)) {
        this.#seen.add(mac);
        this.#context.lights.follow(mac);
        // Its ages, at least, are old.
        this.#context.redraw(mac);
      }
    }
  }
}
