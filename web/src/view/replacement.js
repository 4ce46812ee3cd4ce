/**
 * A device's board at the foot of its card, and the forms that put another in its place or give it
 * the old one back.
 *
 * @import {Key} from '../i18n.js'
 * @import {Device} from '../model.js'
 * @import {Context} from './context.js'
 */

import { html, nothing } from '/vendor/lit-html.js';
import { Problem } from '../api.js';
import { warning } from './icons.js';

/** By the kind of problem. @type {Record<string, Key>} */
const REFUSALS = {
  'invalid-mac': 'replace.failed.invalid',
  'unknown-device': 'replace.failed.gone',
  'device-online': 'replace.failed.online',
  'same-board': 'replace.failed.same',
  'board-replaced': 'replace.failed.replaced',
  'not-replaced': 'replace.failed.gone',
  'mac-taken': 'undo.failed.taken',
  'name-taken': 'undo.failed.name',
};

export class Replacement {
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
   * @param {HTMLElement} card  Where the board is drawn.
   * @param {() => void} draw   Draws it there at once.
   */
  constructor(mac, context, card, draw) {
    this.#mac = mac;
    this.#context = context;
    this.#card = card;
    this.#draw = draw;
  }

  /** @param {Device} device */
  template(device) {
    const { say } = this.#context.texts;
    const { mac, replaced } = device;
    return html`
      <div class="board">
        <p class="mac">
          ${mac}${replaced
            ? html` <span class="instead">${say('replace.instead', { mac: replaced.mac })}</span>`
            : nothing}
        </p>
        ${this.#open ? this.#form(device) : this.#opener(device)}
      </div>
    `;
  }

  /** Puts the focus where it belongs, once the elements are there. */
  drawn() {
    if (!this.#focus) return;
    const element = /** @type {HTMLElement | null} */ (this.#card.querySelector(this.#focus));
    this.#focus = null;
    element?.focus();
  }

  /** The way to the form; a board that is online is not broken.
   * @param {Device} device */
  #opener({ name, replaced, state }) {
    if (state === 'online') return nothing;
    const { say } = this.#context.texts;
    return html`
      <button
        type="button"
        class="link board-open"
        aria-label=${say(replaced ? 'undo.of' : 'replace.of', { name })}
        @click=${this.#start}
      >${say(replaced ? 'undo' : 'replace')}</button>
    `;
  }

  /** @param {Device} device */
  #form(device) {
    const { say } = this.#context.texts;
    const { name, mac, replaced } = device;
    const id = `board-${mac.replaceAll(':', '')}`;
    const failure = this.#failure;
    return html`
      <form class="inline-form board-form" @submit=${this.#save} @keydown=${this.#key}
        aria-label=${say(replaced ? 'undo.of' : 'replace.of', { name })}>
        <p class="hint">${replaced
          ? say('undo.text', { name, mac, old: replaced.mac })
          : say('replace.text', { name })}</p>
        ${replaced ? nothing : this.#field(id)}
        <button class="primary" aria-busy=${String(this.#saving)}
          aria-describedby=${failure && replaced ? `${id}-failure` : nothing}>
          ${this.#word(replaced !== undefined)}
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

  /** Any MAC will do; those of the boards that the hub knows are offered.
   * @param {string} id */
  #field(id) {
    const { devices, texts } = this.#context;
    const others = devices.all().filter(({ mac, replaced }) => mac !== this.#mac && !replaced);
    return html`
      <label class="visually-hidden" for=${id}>${texts.say('replace.label')}</label>
      <input
        id=${id}
        class="field"
        name="mac"
        list=${`${id}-known`}
        placeholder=${texts.say('replace.label')}
        ?readonly=${this.#saving}
        autocomplete="off"
        autocapitalize="characters"
        spellcheck="false"
        enterkeyhint="done"
        aria-invalid=${String(this.#failure !== null)}
        aria-describedby=${this.#failure ? `${id}-failure` : nothing}
      >
      <datalist id=${`${id}-known`}>
        ${others.map(({ mac, name }) => html`<option value=${mac}>${name}</option>`)}
      </datalist>
    `;
  }

  /** @param {boolean} undo */
  #word(undo) {
    const { say } = this.#context.texts;
    if (undo) return say(this.#saving ? 'undo.saving' : 'undo.save');
    return say(this.#saving ? 'replace.saving' : 'replace.save');
  }

  #start = () => {
    this.#open = true;
    this.#failure = null;
    this.#focus = '.board-form :is(input, .primary)';
    this.#draw();
  };

  #cancel = () => {
    this.#open = false;
    this.#focus = '.board-open';
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
    const board = new FormData(form).get('mac');
    const { api, learn, reveal } = this.#context;
    this.#saving = true;
    this.#failure = null;
    this.#draw();
    try {
      const device = await (board === null
        ? api.undoReplacement(this.#mac)
        : api.replace(this.#mac, String(board).trim()));
      this.#saving = false;
      this.#open = false;
      // The stream tells the rest: also what became of the board that this one had until now.
      learn({ type: 'device', data: device });
      reveal(device.mac);
    } catch (error) {
      this.#saving = false;
      this.#failure = refusal(error);
      this.#focus = '.board-form :is(input, .primary)';
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
  const key = REFUSALS[error.kind ?? ''] ?? 'failed.other';
  return { key, detail: key === 'failed.other' ? error.detail : '' };
}
