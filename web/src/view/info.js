/**
 * What a board tells about itself, behind a line that opens.
 *
 * @import {Context} from './context.js'
 * @import {Device} from '../model.js'
 */

import { html, nothing } from '/vendor/lit-html.js';
import { lasted } from '../time.js';

/**
 * @param {Device} device
 * @param {Context} context
 */
export function info({ info }, { texts }) {
  const { say, language } = texts;
  if (!info) return nothing;
  const { firmware, chip, reset, rssi, uptime_s, free_heap, lost_readings } = info;
  /** @param {number} value */
  const spelled = (value) => value.toLocaleString(language);
  const facts = [
    [say('info.firmware'), firmware],
    [say('info.chip'), chip],
    [say('info.reset'), reset],
    [say('info.signal'), rssi === null ? null : say('info.dbm', { value: spelled(rssi) })],
    [say('info.uptime'), uptime_s === null ? null : lasted(uptime_s, language)],
    [say('info.heap'), free_heap === null ? null : say('info.bytes', { value: spelled(free_heap) })],
    // That nothing was lost goes without saying.
    [say('info.lost'), lost_readings ? spelled(lost_readings) : null],
  ];
  const told = facts.filter(([, value]) => value !== null);
  if (told.length === 0) return nothing;
  return html`<details class="info">
    <summary>${say('info')}</summary>
    <dl>${told.map(([fact, value]) => html`<div><dt>${fact}</dt><dd>${value}</dd></div>`)}</dl>
  </details>`;
}
