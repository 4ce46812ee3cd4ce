/**
 * The whole page: what happens is noted as it comes, and drawn at most once a frame.
 *
 * @import {Device, HubEvent, Link} from '../model.js'
 * @import {Context} from './context.js'
 * @import {Presence} from '../filter.js'
 */

import { html, nothing, render } from '/vendor/lit-html.js';
import { byName, matches } from '../filter.js';
import { LANGUAGES } from '../i18n.js';
import { LightHistories } from '../light.js';
import { mark, warning } from './icons.js';
import { CardList } from './list.js';
import { StoreNotices } from './notices.js';

/** Ages grow by the second. */
const TICK_MS = 1_000;

/** Fewer devices than this need no search. */
const SEARCH_FROM = 7;

/** Screen readers hear how many there are once that has been steady for so long, in milliseconds. */
const ANNOUNCE_MS = 2_000;

export class Page {
  #root;
  /** @type {Context} */
  #context;
  #list;
  #notices;
  /** @type {Link} */
  #link = 'connecting';
  #search = '';
  /** @type {Presence} */
  #presence = 'all';

  /** All devices in order; made anew when one comes, goes or is renamed.
   * @type {string[] | null} */
  #order = null;
  #shown = 0;
  #online = 0;
  /** Where boards connect; what it is by default until the hub has said. */
  #mqttPort = 1883;
  /** Whose card must get the focus. @type {string | null} */
  #revealed = null;
  #announcement = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #announcing;

  #frameAsked = false;
  /** Whether more than cards must be drawn. */
  #frameWhole = true;

  /**
   * @param {HTMLElement} root
   * @param {Pick<Context, 'api' | 'clock' | 'devices' | 'texts'>} parts
   */
  constructor(root, parts) {
    this.#root = root;
    const redraw = (/** @type {string} */ mac) => {
      this.#list.touch(mac);
      this.#ask();
    };
    this.#context = {
      ...parts,
      lights: new LightHistories(parts.api, parts.clock, redraw),
      link: () => this.#link,
      learn: (event) => this.take([event]),
      reveal: (mac) => {
        this.#revealed = mac;
        this.#frameWhole = true;
        this.#ask();
      },
      redraw,
    };
    this.#list = new CardList(this.#context);
    this.#notices = new StoreNotices(parts, () => {
      this.#frameWhole = true;
      this.#ask();
    });
    setInterval(() => {
      this.#list.touchSeen();
      this.#ask();
    }, TICK_MS);
    this.#ask();
  }

  /** Takes in what the hub has told.
   * @param {HubEvent[]} events */
  take(events) {
    const { devices, lights } = this.#context;
    for (const event of events) {
      if (event.type === 'device') this.#recognise(event.data);
      const change = devices.apply(event);
      for (const mac of change.macs) this.#list.touch(mac);
      if (change.order) this.#order = null;
      if (change.order || change.presence) this.#frameWhole = true;
      if (event.type === 'storage') this.#frameWhole = true;
      if (event.type === 'snapshot') {
        lights.interrupted();
        this.#list.followSeen();
      } else if (event.type === 'reading') {
        const { mac, channel, value, at } = event.data;
        if (channel === 'photoresistor') lights.add(mac, at, Number(value));
        if (channel === 'button' && value === true) this.#list.press(mac);
      }
    }
    this.#ask();
  }

  /** A board may become another device, with another past.
   * @param {Device} device */
  #recognise({ mac, first_seen }) {
    const before = this.#context.devices.get(mac);
    if (before && before.first_seen !== first_seen) this.#list.renew(mac);
  }

  /** @param {Link} link */
  setLink(link) {
    if (link === this.#link) return;
    this.#link = link;
    // Also sets the clock. Whatever the answer, the stream alone says whether the hub is there.
    if (link === 'live') this.#context.api.health().then(this.#learnPort, () => {});
    this.#redrawAll();
  }

  #redrawAll() {
    this.#frameWhole = true;
    this.#list.touchAll();
    this.#ask();
  }

  #ask() {
    if (this.#frameAsked) return;
    this.#frameAsked = true;
    requestAnimationFrame(() => this.#frame());
  }

  #frame() {
    this.#frameAsked = false;
    if (this.#frameWhole) {
      this.#frameWhole = false;
      this.#arrange();
      render(this.#template(), this.#root);
      this.#announce();
    }
    if (this.#revealed) this.#list.focus(this.#revealed);
    this.#revealed = null;
    if (this.#list.draw()) this.#ask();
  }

  #arrange() {
    const { devices } = this.#context;
    if (!this.#order) {
      this.#order = byName(devices.all()).map(({ mac }) => mac);
      this.#list.prune();
    }
    this.#online = devices.all().filter(({ state }) => state === 'online').length;
    const shown = this.#order.filter((mac) => {
      const device = devices.get(mac);
      return device && matches(device, this.#search, this.#presence);
    });
    this.#shown = shown.length;
    this.#list.arrange(shown);
  }

  /** Tells screen readers how many there are, once that has stopped changing. */
  #announce() {
    clearTimeout(this.#announcing);
    this.#announcing = setTimeout(() => {
      const words = this.#context.devices.size > 0 ? this.#summary() : '';
      if (words === this.#announcement) return;
      this.#announcement = words;
      this.#frameWhole = true;
      this.#ask();
    }, ANNOUNCE_MS);
  }

  #template() {
    const { devices, texts } = this.#context;
    document.documentElement.lang = texts.language;
    return html`
      <a class="skip" href="#boards">${texts.say('app.skip')}</a>
      <header class="top">
        ${mark}
        <div class="brand">
          <h1>Capteur</h1>
          <p class="link-state" data-link=${this.#link}>
            <span class="link-dot"></span>${texts.say(`link.${this.#link}`)}
          </p>
        </div>
        ${this.#languages()}
      </header>
      <div role="status">${this.#link === 'away' ? this.#banner() : nothing}</div>
      ${this.#notices.template()}
      <main id="boards" tabindex="-1" aria-label=${texts.say('app.boards')} data-link=${this.#link}>
        ${devices.size > 0 ? this.#toolbar() : nothing}
        ${devices.known && devices.size === 0 ? this.#empty() : nothing}
        ${this.#list.element}
        ${devices.size > 0 && this.#shown === 0 ? this.#noMatch() : nothing}
      </main>
      <p class="visually-hidden" role="status">${this.#announcement}</p>
    `;
  }

  #languages() {
    const { texts } = this.#context;
    return html`
      <label class="language">
        <span class="visually-hidden">${texts.say('app.language')}</span>
        <select @change=${this.#chooseLanguage}>
          ${Object.entries(LANGUAGES).map(
            ([tag, { name }]) => html`
              <option value=${tag} lang=${tag} ?selected=${tag === texts.language}>${name}</option>
            `,
          )}
        </select>
      </label>
    `;
  }

  #banner() {
    const { say } = this.#context.texts;
    return html`
      <div class="banner">
        ${warning}
        <p><strong>${say('link.banner.title')}</strong> ${say('link.banner.text')}</p>
      </div>
    `;
  }

  #toolbar() {
    const { devices } = this.#context;
    return html`
      <div class="toolbar">
        <p class="summary">${this.#summary()}</p>
        ${devices.size >= SEARCH_FROM || this.#filtered ? this.#filters() : nothing}
      </div>
    `;
  }

  get #filtered() {
    return this.#search !== '' || this.#presence !== 'all';
  }

  #summary() {
    const { devices, texts } = this.#context;
    const values = { online: this.#online, shown: this.#shown, all: devices.size };
    return texts.say(this.#filtered ? 'summary.filtered' : 'summary', values);
  }

  #filters() {
    const { say } = this.#context.texts;
    const choices = /** @type {const} */ (['all', 'online', 'offline']);
    return html`
      <form class="filters" role="search" @submit=${(/** @type {Event} */ e) => e.preventDefault()}>
        <input
          class="field"
          type="search"
          aria-label=${say('filter.search')}
          placeholder=${say('filter.search')}
          autocomplete="off"
          spellcheck="false"
          .value=${this.#search}
          @input=${this.#type}
        >
        <fieldset class="segments">
          <legend class="visually-hidden">${say('filter.presence')}</legend>
          ${choices.map(
            (choice) => html`
              <label>
                <input
                  type="radio"
                  name="presence"
                  value=${choice}
                  .checked=${choice === this.#presence}
                  @change=${this.#choose}
                ><span>${say(`filter.${choice}`)}</span>
              </label>
            `,
          )}
        </fieldset>
      </form>
    `;
  }

  #empty() {
    const { say } = this.#context.texts;
    return html`
      <section class="empty">
        ${mark}
        <h2>${say('empty.title')}</h2>
        <p>${say('empty.text')}</p>
        <p><code>${location.hostname}:${this.#mqttPort}</code></p>
        <p>${say('empty.hint')}</p>
      </section>
    `;
  }

  #noMatch() {
    const { say } = this.#context.texts;
    return html`
      <section class="empty">
        <p>${say('filter.none')}</p>
        <button type="button" class="primary" @click=${this.#showAll}>${say('filter.clear')}</button>
      </section>
    `;
  }

  /** @param {{mqtt_port: number}} health */
  #learnPort = ({ mqtt_port: port }) => {
    this.#mqttPort = port;
    this.#frameWhole = true;
    this.#ask();
  };

  /** @param {Event} event */
  #chooseLanguage = (event) => {
    this.#context.texts.use(/** @type {HTMLSelectElement} */ (event.target).value);
    this.#redrawAll();
  };

  /** @param {Event} event */
  #type = (event) => {
    this.#search = /** @type {HTMLInputElement} */ (event.target).value;
    this.#frameWhole = true;
    this.#ask();
  };

  /** @param {Event} event */
  #choose = (event) => {
    const { value } = /** @type {HTMLInputElement} */ (event.target);
    this.#presence = /** @type {Presence} */ (value);
    this.#frameWhole = true;
    this.#ask();
  };

  #showAll = () => {
    this.#search = '';
    this.#presence = 'all';
    this.#frameWhole = true;
    this.#ask();
  };
}
