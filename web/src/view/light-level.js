/**
 * The light level: the number, and the last minutes as a line.
 *
 * @import {Device} from '../model.js'
 * @import {Context} from './context.js'
 */

import { html, nothing } from '/vendor/lit-html.js';
import { WINDOW_MS } from '../light.js';
import { HEIGHT, sparkline, WIDTH } from '../sparkline.js';
import { ago } from '../time.js';
import { sun } from './icons.js';

const MINUTE_MS = 60_000;

/** A level older than this is not "now", in milliseconds. */
const STALE_MS = MINUTE_MS;

/**
 * @param {Device} device
 * @param {Context} context
 */
export function lightLevel(device, { clock, lights, texts }) {
  const { say } = texts;
  const level = device.channels.photoresistor;
  const now = clock.now();
  const points = lights.points(device.mac);
  const minutes = span(points, now);
  const age = level ? now - Date.parse(level.at) : 0;
  return html`
    <div class="row light">
      ${sun}
      <span class="row-label">${say('light')}</span>
      ${level && age > STALE_MS
        ? html`<span class="age">${ago(age, texts.language, say('time.now'))}</span>`
        : nothing}
      ${level
        ? html`<span class="level">${level.value}<small> %</small></span>`
        : html`<span class="level-none">${say('light.none')}</span>`}
    </div>
    ${chart(sparkline(points, now - minutes * MINUTE_MS, now), minutes, say)}
    <div class="scale" aria-hidden="true">
      <span>${say('light.from', { minutes })}</span>
      <span>${say('light.to')}</span>
    </div>
  `;
}

/**
 * How many minutes the line shows: a newcomer's first minute should not be a speck at the edge.
 *
 * @param {readonly import('../light.js').Point[]} points
 * @param {number} now
 */
function span(points, now) {
  const [first] = points;
  const known = first ? now - first[0] : WINDOW_MS;
  return Math.ceil(Math.min(Math.max(known, MINUTE_MS), WINDOW_MS) / MINUTE_MS);
}

/**
 * @param {import('../sparkline.js').Sparkline | null} line
 * @param {number} minutes
 * @param {import('../i18n.js').Texts['say']} say
 */
function chart(line, minutes, say) {
  const label = line
    ? say('light.chart', { minutes, min: line.min, max: line.max })
    : say('light.chart.empty', { minutes });
  return html`
    <svg class="chart" role="img" aria-label=${label}
      viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none">
      <path class="chart-half" d="M0 ${HEIGHT / 2}H${WIDTH}"></path>
      <path class="chart-area" d=${line?.area ?? ''}></path>
      <path class="chart-line" d=${line?.line ?? ''}></path>
      <path class="chart-end" d=${line?.end ?? ''}></path>
    </svg>
  `;
}
