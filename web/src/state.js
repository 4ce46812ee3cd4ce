/**
 * What the page knows of the devices and of the store: the stream's events, folded in order.
 *
 * @import {Channel, Command, Device, HubEvent, Reading, Storage} from './model.js'
 */

/**
 * What an event changed.
 *
 * @typedef {object} Change
 * @property {string[]} macs     The devices whose cards must be drawn again.
 * @property {boolean} order     Devices came, went or were renamed: the list must be sorted again.
 * @property {boolean} presence  Somebody's presence changed: counts and filters too.
 */

/** The devices by MAC, and the commands that wait for them. */
export class Devices {
  /** @type {Map<string, Device>} */
  #devices = new Map();

  /** The last command sent to a device that has not ended yet, by the device's MAC.
   * @type {Map<string, Command>} */
  #waiting = new Map();

  /** Whether a snapshot has come: before that, no device means nothing. */
  known = false;

  /** How the hub's store is; nothing is amiss where the hub has not said.
   * @type {Storage | null} */
  storage = null;

  /** @param {string} mac */
  get(mac) {
    return this.#devices.get(mac);
  }

  /** The command that the device has not answered yet.
   * @param {string} mac */
  waiting(mac) {
    return this.#waiting.get(mac);
  }

  get size() {
    return this.#devices.size;
  }

  /** All devices, in no order. */
  all() {
    return [...this.#devices.values()];
  }

  /** The events that lead a newcomer to this same state.
   * @returns {HubEvent[]} */
  replay() {
    if (!this.known) return [];
    /** @type {HubEvent[]} */
    const events = [{ type: 'snapshot', data: { devices: this.all() } }];
    if (this.storage) events.push({ type: 'storage', data: this.storage });
    for (const command of this.#waiting.values()) events.push({ type: 'command', data: command });
    return events;
  }

  /**
   * Takes in one event.
   *
   * @param {HubEvent} event
   * @returns {Change}
   */
  apply(event) {
    switch (event.type) {
      case 'snapshot':
        return this.#snapshot(event.data.devices);
      case 'device':
        return this.#device(event.data);
      case 'reading':
        return this.#reading(event.data);
      case 'removed':
        return this.#removed(event.data.mac);
      case 'command':
        return this.#command(event.data);
      case 'storage':
        this.storage = event.data;
        return { macs: [], order: false, presence: false };
      default:
        // A newer hub may tell of things that this page does not know yet.
        return { macs: [], order: false, presence: false };
    }
  }

  /** @param {Device[]} devices */
  #snapshot(devices) {
    this.known = true;
    this.storage = null;
    this.#devices = new Map(devices.map((device) => [device.mac, device]));
    // How these ended was told while nobody listened.
    this.#waiting.clear();
    return { macs: [...this.#devices.keys()], order: true, presence: true };
  }

  /** @param {Device} device */
  #device(device) {
    const before = this.#devices.get(device.mac);
    this.#devices.set(device.mac, device);
    return {
      macs: [device.mac],
      order: before?.name !== device.name,
      presence: before?.state !== device.state,
    };
  }

  /** @param {Reading} reading */
  #reading({ mac, channel, value, at }) {
    const device = this.#devices.get(mac);
    if (!device) return { macs: [], order: false, presence: false };
    this.#devices.set(mac, { ...withReading(device, channel, value, at), last_seen: at });
    return { macs: [mac], order: false, presence: false };
  }

  /** @param {string} mac */
  #removed(mac) {
    this.#waiting.delete(mac);
    const gone = this.#devices.delete(mac);
    return { macs: gone ? [mac] : [], order: gone, presence: gone };
  }

  /** @param {Command} command */
  #command(command) {
    const mac = command.device;
    const device = this.#devices.get(mac);
    if (!device) return { macs: [], order: false, presence: false };
    if (command.state === 'sent') {
      this.#waiting.set(mac, command);
    } else if (this.#waiting.get(mac)?.id === command.id) {
      this.#waiting.delete(mac);
    }
    // The answer to a request may overtake the reading that confirmed it. Times of one format
    // compare as text.
    const { confirmed_at: at } = command;
    if (command.state === 'confirmed' && at && at > (device.channels.led?.at ?? '')) {
      this.#devices.set(mac, withReading(device, 'led', command.value, at));
    }
    return { macs: [mac], order: false, presence: false };
  }
}

/**
 * @param {Device} device
 * @param {Channel} channel
 * @param {boolean | number} value
 * @param {string} at
 * @returns {Device}
 */
function withReading(device, channel, value, at) {
  const before = device.channels[channel];
  const changed_at = before?.value === value ? before.changed_at : at;
  const unit = channel === 'photoresistor' ? { unit: '%' } : {};
  return {
    ...device,
    channels: { ...device.channels, [channel]: { ...unit, value, at, changed_at } },
  };
}
