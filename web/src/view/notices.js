/**
 * What people should know of the hub's store. Each notice has a place of its own that is there
 * before it is filled: screen readers tell what comes into it.
 *
 * @import {Recovered} from '../model.js'
 * @import {Notice} from '../notices.js'
 * @import {Context} from './context.js'
 * @import {TemplateResult} from '/vendor/lit-html.js'
 */

import { html, nothing } from '/vendor/lit-html.js';
import { Notices } from '../notices.js';
import { warning } from './icons.js';

export class StoreNotices {
  #context;
  #redraw;
  #notices = new Notices();

  /**
   * @param {Pick<Context, 'devices' | 'texts'>} context
   * @param {() => void} redraw
   */
  constructor(context, redraw) {
    this.#context = context;
    this.#redraw = redraw;
  }

  template() {
    const { storage } = this.#context.devices;
    const shown = this.#notices.of(storage);
    const full = shown.includes('full');
    const time = shown.includes('time');
    const recovered = shown.includes('recovered') ? storage?.recovered : null;
    return html`
      <div role="alert">${full ? this.#full(storage?.needed_bytes ?? 0) : nothing}</div>
      <div role="status">${time ? this.#time() : nothing}</div>
      <div role="status">${recovered ? this.#recovered(recovered) : nothing}</div>
    `;
  }

  /** @param {number} needed  In bytes. */
  #full(needed) {
    const { language, say } = this.#context.texts;
    const size = new Intl.NumberFormat(language, {
      style: 'unit',
      unit: 'megabyte',
      maximumFractionDigits: 0,
    }).format(needed / 1e6);
    return html`
      <div class="banner" data-notice="full">
        ${warning}
        <p><strong>${say('store.full.title')}</strong> ${say('store.full.text', { needed: size })}</p>
      </div>
    `;
  }

  #time() {
    const { say } = this.#context.texts;
    return html`
      <div class="banner mild" data-notice="time">
        ${warning}
        <p><strong>${say('store.time.title')}</strong> ${say('store.time.text')}</p>
        ${this.#dismissal('time')}
      </div>
    `;
  }

  /** @param {Recovered} recovered */
  #recovered(recovered) {
    const { language, say } = this.#context.texts;
    const number = new Intl.NumberFormat(language);
    const at = (/** @type {string} */ time) => new Date(time).toLocaleString(language);
    const { lost_devices, lost_readings, lost_commits, lost_between, newest_reading } = recovered;
    /** @type {string[]} */
    const lost = [];
    if (lost_devices) lost.push(say('store.lost.devices', { count: number.format(lost_devices) }));
    if (lost_readings) lost.push(say('store.lost.readings', { count: number.format(lost_readings) }));
    if (lost_commits) lost.push(say('store.lost.commits', { count: number.format(lost_commits) }));
    if (lost_between) {
      lost.push(say('store.lost.between', { from: at(lost_between[0]), to: at(lost_between[1]) }));
    }
    if (newest_reading) lost.push(say('store.lost.after', { at: at(newest_reading) }));
    return html`
      <div class="banner mild" data-notice="recovered">
        ${warning}
        <div>
          <p>
            <strong>${say('store.recovered.title')}</strong>
            ${say('store.recovered.text', {
              at: at(recovered.at),
              devices: number.format(recovered.devices),
              readings: number.format(recovered.readings),
            })}
          </p>
          ${lost.length > 0 ? html`<ul>${lost.map((line) => html`<li>${line}</li>`)}</ul>` : nothing}
          <p>${say('store.recovered.kept')} <code>${recovered.set_aside}</code></p>
        </div>
        ${this.#dismissal('recovered')}
      </div>
    `;
  }

  /** @param {Notice} notice */
  #dismissal(notice) {
    const { say } = this.#context.texts;
    return html`<button type="button" class="plain" @click=${() => this.#dismiss(notice)}>
      ${say('store.dismiss')}
    </button>`;
  }

  /** @param {Notice} notice */
  #dismiss(notice) {
    this.#notices.dismiss(notice, this.#context.devices.storage);
    this.#redraw();
    // The button goes, and the focus must not go nowhere.
    document.getElementById('boards')?.focus();
  }
}
