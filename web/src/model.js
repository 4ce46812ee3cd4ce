/**
 * What the hub says: the shapes of its JSON (see `/api/v1/openapi.json`).
 *
 * @typedef {'pending' | 'joining' | 'online' | 'offline'} DeviceState
 *
 * @typedef {'led' | 'button' | 'photoresistor'} Channel
 *
 * @typedef {object} Switched     The last value of the LED or the button.
 * @property {boolean} value      On or pressed.
 * @property {string} at          When the last reading came (RFC 3339).
 * @property {string} changed_at  When the value last became another.
 *
 * @typedef {object} Measured     The last value of the photoresistor.
 * @property {number} value       0 (dark) to 100 (bright).
 * @property {string} unit        `%`.
 * @property {string} at
 * @property {string} changed_at
 *
 * @typedef {object} Info         What a board tells about itself.
 * @property {string | null} firmware
 * @property {string | null} chip
 * @property {string | null} reset          Why the chip last started.
 * @property {number | null} rssi           dBm.
 * @property {number | null} uptime_s
 * @property {number | null} free_heap      Bytes.
 * @property {number | null} lost_readings  Dropped while the hub was away.
 *
 * @typedef {object} Device
 * @property {string} mac         Its board: who the device is, until the board is replaced.
 * @property {string} name        What people call it.
 * @property {DeviceState} state
 * @property {string} first_seen
 * @property {string} last_seen
 * @property {string | null} joined_at
 * @property {string | null} left_at
 * @property {{led: Switched | null, button: Switched | null, photoresistor: Measured | null}} channels
 * @property {Info} [info]   Absent where the board's firmware does not tell it.
 * @property {{mac: string, at: string}} [replaced]  The board before, while that can be undone.
 *
 * @typedef {object} Command
 * @property {string} id
 * @property {string} device      The device's MAC.
 * @property {'led'} channel
 * @property {boolean} value
 * @property {'sent' | 'confirmed' | 'timed_out' | 'superseded'} state
 * @property {string} issued_at
 * @property {string | null} confirmed_at
 * @property {string} issued_by
 *
 * @typedef {object} Reading
 * @property {string} mac
 * @property {string} name
 * @property {Channel} channel
 * @property {boolean | number} value
 * @property {string} at
 *
 * @typedef {object} Recovered    What was saved of a damaged store, and what is lost.
 * @property {string} at
 * @property {string} set_aside   The folder that has the damaged store.
 * @property {number} devices
 * @property {number} readings
 * @property {string | null} newest_reading
 * @property {number} lost_devices
 * @property {number} lost_readings
 * @property {number} lost_commits
 * @property {[string, string] | null} lost_between
 *
 * @typedef {object} Storage      How the hub's store is.
 * @property {boolean} recording  Whether readings are recorded.
 * @property {number | null} needed_bytes  How much room it takes until they are again.
 * @property {boolean} time_uncertain      Whether the hub guesses the time.
 * @property {Recovered | null} recovered
 *
 * @typedef {{type: 'snapshot', data: {devices: Device[]}}
 *   | {type: 'device', data: Device}
 *   | {type: 'reading', data: Reading}
 *   | {type: 'removed', data: {mac: string}}
 *   | {type: 'command', data: Command}
 *   | {type: 'storage', data: Storage}} HubEvent
 *
 * @typedef {'connecting' | 'live' | 'away'} Link
 *   Whether the stream has been opened yet, flows, or is lost and being tried again.
 */

export {};
