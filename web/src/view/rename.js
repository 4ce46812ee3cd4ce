/**
 * A device's name, and the field that changes it. Whether a name is good is the hub's to say.
 *
 * @import {Key} from '../i18n.js'
 * @import {Device} from '../model.js'
 * @import {Context} from './context.js'
 */

import { html, nothing } from '/vendor/lit-html.js';
import { Problem } from '../api.js';
import { pencil, warning } from './icons.js';

/** @type {Record<number, Key>} */
const REFUSALS = {
  404: 'rename.failed.gone',
  409: 'rename.failed.taken',
  422: 'rename.failed.invalid',
};

export class Rename {
  #mac;
  #context;
  #card;
  #draw;
  #open = false;
  #saving = false;
  /** @type {{key: Key, detail: string} | null} */
  #failure = null;
  /** What must have the focus after the next drawing.
   * @type {string | null} */
  #focus = null;

  /**
   * @param {string} mac
   * @param {Context} context
   * @param {HTMLElement} card  Where the name is drawn.
   * @param {() => void} draw   Draws it there at once: a phone shows its keyboard only if the field
   *                            gets the focus while the finger's event is being handled.
   */
  constructor(mac, context, card, draw) {
    this.#mac = mac;
    this.#context = context;
    this.#card = card;
    this.#draw = draw;
  }

  /** @param {Device} device */
  template(device) {
    return this.#open ? this.#form(device) : this.#heading(device);
  }

  /** Puts the focus where it belongs, once the elements are there. */
  drawn() {
    if (!this.#focus) return;
    const element = /** @type {HTMLElement | null} */ (this.#card.querySelector(this.#focus));
    this.#focus = null;
    element?.focus();
    if (element instanceof HTMLInputElement) element.select();
  }

  /** @param {Device} device */
  #heading(device) {
    const { say } = this.#context.texts;
    return html`
      <h2 class="name">${device.name}</h2>
      <button
        type="button"
        class="quiet rename-open"
        aria-label=${say('rename', { name: device.name })}
        title=${say('rename', { name: device.name })}
        @click=${this.#start}
      >${pencil}</button>
    `;
  }

  /** @param {Device} device */
  #form(device) {
    const { say } = this.#context.texts;
    const id = `rename-${device.mac.replaceAll(':', '')}`;
    const failure = this.#failure;
    return html`
      <form class="inline-form rename" aria-label=${say('rename', { name: device.name })}
        @submit=${this.#save} @keydown=${this.#key}>
        <h2 class="visually-hidden">${device.name}</h2>
        <label class="visually-hidden" for=${id}>${say('rename.label')}</label>
        <input
          id=${id}
          class="field"
          name="name"
          .defaultValue=${device.name}
          ?readonly=${this.#saving}
          autocomplete="off"
          autocapitalize="off"
          spellcheck="false"
          enterkeyhint="done"
          aria-invalid=${String(failure !== null)}
          aria-describedby=${failure ? `${id}-failure` : nothing}
        >
        <button class="primary" aria-busy=${String(this.#saving)}>
          ${say(this.#saving ? 'rename.saving' : 'rename.save')}
        </button>
        <button type="button" class="plain" @click=${this.#cancel}>${say('rename.cancel')}</button>
        ${failure
          ? html`<p class="failure" role="alert" id=${`${id}-failure`}>
              ${warning}<span>${say(failure.key)}
              ${failure.detail ? html`<span class="detail" lang="en">${failure.detail}</span>` : nothing}
            </span></p>`
          : nothing}
      </form>
    `;
  }

  #start = () => {
    this.#open = true;
    this.#failure = null;
    this.#focus = 'input';
    this.#draw();
  };

  #cancel = () => {
    this.#open = false;
    this.#focus = '.rename-open';
    this.#draw();
  };

  /** @param {KeyboardEvent} event */
  #key = (event) => {
    // Escape also ends an input method's composition: that one is not for us.
    if (event.key !== 'Escape' || event.isComposing) return;
    event.preventDefault();
    this.#cancel();
  };

  /** @param {SubmitEvent} event */
  #save = async (event) => {
    event.preventDefault();
    if (this.#saving) return;
    const form = /** @type {HTMLFormElement} */ (event.currentTarget);
    const name = String(new FormData(form).get('name')).trim();
    if (name === this.#context.devices.get(this.#mac)?.name) {
      this.#cancel();
      return;
    }
    this.#saving = true;
    this.#failure = null;
    this.#draw();
    try {
      const device = await this.#context.api.rename(this.#mac, name);
      this.#saving = false;
      this.#context.learn({ type: 'device', data: device });
      this.#cancel();
    } catch (error) {
      this.#saving = false;
      this.#failure = refusal(error);
      this.#focus = 'input';
      this.#draw();
    }
  };
}

/**
 * @param {unknown} error
 * @returns {{key: Key, detail: string}}
 */
function refusal(error) {
  if (!(error instanceof Problem)) return { key: 'failed.away', detail: '' };
  const key = REFUSALS[error.status] ?? 'failed.other';
  // The other two say it all, and in the reader's language.
  const open = key === 'rename.failed.invalid' || key === 'failed.other';
  return { key, detail: open ? error.detail : '' };
}
