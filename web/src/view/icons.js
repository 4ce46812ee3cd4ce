/** Small pictures. Each is decoration: the text beside it says the same. */

import { html } from '/vendor/lit-html.js';

/** The product's mark, as in `favicon.svg`. */
export const mark = html`<svg class="mark" viewBox="0 0 32 32" aria-hidden="true">
  <rect width="32" height="32" rx="9"></rect>
  <path d="M5 21h5l4-10 5 13 3-7h1"></path>
  <circle cx="25" cy="14" r="3"></circle>
</svg>`;

export const pencil = html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
  <path d="M12.6 4.4l3 3M4 16l.8-3.6L13.4 3.8a1.6 1.6 0 0 1 2.3 0l.5.5a1.6 1.6 0 0 1 0 2.3L7.6 15.2z"></path>
</svg>`;

export const bulb = html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
  <path d="M7.5 14.5c0-2-2.5-3-2.5-6.2a5 5 0 0 1 10 0c0 3.2-2.5 4.2-2.5 6.2zM8 17.5h4"></path>
</svg>`;

export const sun = html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
  <circle cx="10" cy="10" r="3.4"></circle>
  <path d="M10 2v1.6M10 16.4V18M2 10h1.6M16.4 10H18M4.3 4.3l1.2 1.2M14.5 14.5l1.2 1.2M15.7 4.3l-1.2 1.2M5.5 14.5l-1.2 1.2"></path>
</svg>`;

export const warning = html`<svg class="icon" viewBox="0 0 20 20" aria-hidden="true">
  <path d="M10 3.2 18 16.8H2zM10 8.2v3.8M10 14.4h0"></path>
</svg>`;

/** A push button seen from above; `button.js` moves its cap. */
export const cap = html`<svg class="icon cap" viewBox="0 0 20 20" aria-hidden="true">
  <rect x="2.5" y="2.5" width="15" height="15" rx="4"></rect>
  <circle cx="10" cy="10" r="3.8"></circle>
</svg>`;

/**
 * Presence: each state has a shape of its own, so that no one needs the colour.
 *
 * @type {Record<string, import('/vendor/lit-html.js').TemplateResult>}
 */
export const presence = {
  online: html`<svg class="icon presence-mark" viewBox="0 0 20 20" aria-hidden="true">
    <circle class="solid" cx="10" cy="10" r="5"></circle>
  </svg>`,
  offline: html`<svg class="icon presence-mark" viewBox="0 0 20 20" aria-hidden="true">
    <circle cx="10" cy="10" r="5"></circle>
    <path d="M4 16 16 4"></path>
  </svg>`,
  joining: html`<svg class="icon presence-mark" viewBox="0 0 20 20" aria-hidden="true">
    <path class="turns" d="M10 5a5 5 0 1 0 5 5"></path>
  </svg>`,
  pending: html`<svg class="icon presence-mark" viewBox="0 0 20 20" aria-hidden="true">
    <circle cx="10" cy="10" r="6"></circle>
    <path d="M10 6.5V10l2.3 1.5"></path>
  </svg>`,
};
