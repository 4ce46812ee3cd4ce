/**
 * The card of one device. Each card is drawn on its own, so that a reading costs one card, however
 * many there are.
 *
 * @import {Context} from './context.js'
 * @import {Device} from '../model.js'
 */

import { html, render } from '/vendor/lit-html.js';
import { ago } from '../time.js';
import { presence } from './icons.js';
import { info } from './info.js';
import { LedSwitch } from './led-switch.js';
import { lightLevel } from './light-level.js';
import { flash, pushButton } from './push-button.js';
import { Rename } from './rename.js';
import { Replacement } from './replacement.js';

export class Card {
  element = document.createElement('li');
  #mac;
  #context;
  #led;
  #rename;
  #replacement;
  #pressed = false;

  /**
   * @param {string} mac
   * @param {Context} context
   */
  constructor(mac, context) {
    this.#mac = mac;
    this.#context = context;
    this.#led = new LedSwitch(mac, context);
    this.#rename = new Rename(mac, context, this.element, () => this.draw());
    this.#replacement = new Replacement(mac, context, this.element, () => this.draw());
    this.element.className = 'card';
    this.element.dataset.mac = mac;
  }

  /** Makes the next drawing show a press. */
  press() {
    this.#pressed = true;
  }

  /** Takes the focus. */
  focus() {
    this.draw();
    /** @type {HTMLElement | null} */ (this.element.querySelector('.rename-open'))?.focus();
  }

  draw() {
    const device = this.#context.devices.get(this.#mac);
    if (!device) return;
    this.element.dataset.state = device.state;
    render(this.#template(device), this.element);
    this.#rename.drawn();
    this.#replacement.drawn();
    if (this.#pressed) flash(this.element);
    this.#pressed = false;
  }

  /** @param {Device} device */
  #template(device) {
    const { say } = this.#context.texts;
    return html`
      <div class="card-head">${this.#rename.template(device)}</div>
      <p class="presence">
        ${presence[device.state]}
        <span class="state">${say(`state.${device.state}`)}</span>
        <span class="age">${this.#seen(device)}</span>
      </p>
      ${lightLevel(device, this.#context)}
      ${this.#led.template(device)}
      ${pushButton(device, this.#context)}
      ${this.#replacement.template(device)}
      ${info(device, this.#context)}
    `;
  }

  /** @param {Device} device */
  #seen({ last_seen }) {
    const { clock, texts } = this.#context;
    const seen = Date.parse(last_seen);
    const words = ago(clock.now() - seen, texts.language, texts.say('time.now'));
    return html`<time datetime=${last_seen} title=${new Date(seen).toLocaleString(texts.language)}
      >${texts.say('seen', { ago: words })}</time>`;
  }
}
