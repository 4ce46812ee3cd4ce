/**
 * The LED's switch. It shows what the device has reported, never what was asked of it: between the
 * order and the device's word it is busy.
 *
 * @import {Key} from '../i18n.js'
 * @import {Device} from '../model.js'
 * @import {Context} from './context.js'
 */

import { html, nothing } from '/vendor/lit-html.js';
import { Problem } from '../api.js';
import { bulb, warning } from './icons.js';

export class LedSwitch {
  #mac;
  #context;
  /** What somebody here has asked for, until the hub answers.
   * @type {boolean | null} */
  #asked = null;
  /** Why the last order came to nothing.
   * @type {{key: Key, detail: string, at: string | undefined} | null} */
  #failure = null;

  /**
   * @param {string} mac
   * @param {Context} context
   */
  constructor(mac, context) {
    this.#mac = mac;
    this.#context = context;
  }

  /** @param {Device} device */
  template(device) {
    const { say } = this.#context.texts;
    const led = device.channels.led;
    const wanted = this.#wanted();
    const able = device.state === 'online' && this.#context.link() === 'live';
    const failure = this.#standing(device);
    const id = `led-${device.mac.replaceAll(':', '')}`;
    return html`
      <div class="row led" data-on=${String(led?.value === true)}>
        ${bulb}
        <span class="row-label" aria-hidden="true">${say('led')}</span>
        <span class="row-value" id=${id}>${say(word(led?.value, wanted))}</span>
        <button
          type="button"
          class="switch"
          role="switch"
          aria-checked=${String(led?.value === true)}
          aria-label=${say('led.of', { name: device.name })}
          aria-describedby=${id}
          aria-busy=${String(wanted !== null)}
          aria-disabled=${String(!able)}
          @click=${this.#toggle}
        ><span class="knob"></span></button>
      </div>
      ${failure
        ? html`<p class="failure" role="alert">${warning}<span>${say(failure.key, {
            name: device.name,
            detail: failure.detail,
          })}</span></p>`
        : nothing}
    `;
  }

  /** What the LED has been ordered to be and has not confirmed, whoever gave the order. */
  #wanted() {
    return this.#asked ?? this.#context.devices.waiting(this.#mac)?.value ?? null;
  }

  /** The failure to show: the device's next word on its LED settles the matter.
   * @param {Device} device */
  #standing(device) {
    if (this.#failure && this.#failure.at !== device.channels.led?.at) this.#failure = null;
    return this.#failure;
  }

  #toggle = async () => {
    const device = this.#context.devices.get(this.#mac);
    if (!device || this.#wanted() !== null) return;
    this.#failure = null;
    if (this.#context.link() !== 'live') {
      this.#fail('led.failed.away');
    } else if (device.state !== 'online') {
      this.#fail('led.failed.offline');
    } else {
      await this.#order(!device.channels.led?.value);
    }
    this.#context.redraw(this.#mac);
  };

  /** @param {boolean} on */
  async #order(on) {
    this.#asked = on;
    this.#context.redraw(this.#mac);
    try {
      const command = await this.#context.api.setLed(this.#mac, on);
      this.#context.learn({ type: 'command', data: command });
    } catch (error) {
      if (error instanceof Problem && error.command) {
        this.#context.learn({ type: 'command', data: error.command });
      }
      this.#fail(reason(error), error instanceof Problem ? error.detail : '');
    } finally {
      this.#asked = null;
    }
  }

  /**
   * @param {Key} key
   * @param {string} [detail]  The hub's own words.
   */
  #fail(key, detail = '') {
    const at = this.#context.devices.get(this.#mac)?.channels.led?.at;
    this.#failure = { key, detail, at };
  }
}

/**
 * @param {boolean | undefined} value
 * @param {boolean | null} wanted
 * @returns {Key}
 */
function word(value, wanted) {
  if (wanted !== null) return wanted ? 'led.turning.on' : 'led.turning.off';
  if (value === undefined) return 'led.unknown';
  return value ? 'led.on' : 'led.off';
}

/**
 * Why an order came to nothing.
 *
 * @param {unknown} error
 * @returns {Key}
 */
function reason(error) {
  if (!(error instanceof Problem)) return 'led.failed.lost';
  if (error.command?.state === 'superseded') return 'led.failed.superseded';
  if (error.status === 504) return 'led.failed.timeout';
  if (error.status === 409) return 'led.failed.offline';
  return 'led.failed.other';
}
