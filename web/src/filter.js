/**
 * Which devices are shown, and in which order.
 *
 * @import {Device} from './model.js'
 */

/** @typedef {'all' | 'online' | 'offline'} Presence */

/** Numbers count as numbers, so that `capteur9` comes before `capteur10`. */
const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: 'base' });

/**
 * The devices in the order of their names.
 *
 * @param {Device[]} devices
 */
export function byName(devices) {
  return devices.sort((a, b) => collator.compare(a.name, b.name) || (a.mac < b.mac ? -1 : 1));
}

/**
 * Whether a device is to be shown.
 *
 * @param {Device} device
 * @param {string} search      Part of a name or of a MAC address; case and accents don't count.
 * @param {Presence} presence
 */
export function matches(device, search, presence) {
  if (presence !== 'all' && (device.state === 'online') !== (presence === 'online')) return false;
  const wanted = fold(search.trim());
  return fold(device.name).includes(wanted) || fold(device.mac).includes(wanted);
}

/** @param {string} text */
function fold(text) {
  return text.normalize('NFD').replace(/\p{M}/gu, '').toLowerCase();
}
