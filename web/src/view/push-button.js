/**
 * The board's button: pressed or not, and since when.
 *
 * @import {Key} from '../i18n.js'
 * @import {Device} from '../model.js'
 * @import {Context} from './context.js'
 */

import { html, nothing } from '/vendor/lit-html.js';
import { ago } from '../time.js';
import { cap } from './icons.js';

/** How long a press stays visible, however short it was, in milliseconds. */
const FLASH_MS = 900;

/**
 * @param {Device} device
 * @param {Context} context
 */
export function pushButton(device, { clock, texts }) {
  const { say } = texts;
  const button = device.channels.button;
  const since = button ? clock.now() - Date.parse(button.changed_at) : 0;
  return html`
    <div class="row push" data-pressed=${String(button?.value === true)}>
      ${cap}
      <span class="row-label">${say('button')}</span>
      ${button
        ? html`<span class="age">${ago(since, texts.language, say('time.now'))}</span>`
        : nothing}
      <span class="row-value">${say(word(button?.value))}</span>
    </div>
  `;
}

/**
 * Shows that the button has just been pressed: it may be released again within the same frame.
 *
 * @param {HTMLElement} card
 */
export function flash(card) {
  if (matchMedia('(prefers-reduced-motion: reduce)').matches) return;
  card.querySelector('.push')?.animate(
    [{ backgroundColor: 'var(--flash)' }, { backgroundColor: 'transparent' }],
    { duration: FLASH_MS, easing: 'ease-out' },
  );
}

/**
 * @param {boolean | undefined} pressed
 * @returns {Key}
 */
function word(pressed) {
  if (pressed === undefined) return 'button.none';
  return pressed ? 'button.pressed' : 'button.released';
}
