/**
 * A board of our own: the customer's protocol on an MQTT client that is not the hub's, doing only
 * what a story tells it to.
 */

import mqtt from 'mqtt';

const KEEP_ALIVE_S = 4;

export class Board {
  /** Whether orders to the LED are carried out (and confirmed) at once. */
  obedient = true;
  /** The orders that have come: `true` for on. */
  orders = [];
  #client;
  #pair = '';

  /** Takes a board through the join dance: the MAC, then the same again with a will and the pair. */
  static async join(hub, mac) {
    const board = new Board();
    const [name, session] = await credentials(hub, mac);
    board.#pair = `${name};${session}`;
    board.#client = await mqtt.connectAsync(`mqtt://${hub.mqtt}`, {
      protocolVersion: 5,
      keepalive: KEEP_ALIVE_S,
      reconnectPeriod: 0,
      will: { topic: 'state/leave', payload: board.#pair, qos: 2 },
    });
    board.#client.on('error', () => {}); // The hub was killed: part of some stories.
    board.#client.on('message', (_, payload) => board.#ordered(String(payload)));
    await board.#client.publishAsync('state/join', board.#pair, { qos: 2 });
    await board.#client.subscribeAsync('led/command', { qos: 1 });
    return board;
  }

  light(percent) {
    return this.#client.publishAsync('photoresistor/status', `${this.#pair};${percent}`);
  }

  press() {
    return this.#client.publishAsync('button/status', `${this.#pair};1`);
  }

  release() {
    return this.#client.publishAsync('button/status', `${this.#pair};0`);
  }

  led(on) {
    return this.#client.publishAsync('led/status', `${this.#pair};${on ? 1 : 0}`, { qos: 1 });
  }

  /** Says what it is, as `key=value;…`. */
  tell(facts) {
    return this.#client.publishAsync('state/info', `${this.#pair};${facts}`);
  }

  /** Leaves as the protocol asks. */
  async leave() {
    await this.#client.publishAsync('state/leave', this.#pair, { qos: 2 });
    await this.#client.endAsync();
  }

  /** Loses its power. */
  async cut() {
    await this.#client.endAsync(true);
  }

  #ordered(payload) {
    const value = payload.slice(this.#pair.length + 1);
    if (payload !== `${this.#pair};${value}`) return;
    this.orders.push(value === '1');
    if (this.obedient) this.led(value === '1').catch(() => {});
  }
}

/** The first half of the dance: what the hub answers to a MAC. */
async function credentials(hub, mac) {
  const client = await mqtt.connectAsync(`mqtt://${hub.mqtt}`, {
    protocolVersion: 5,
    keepalive: KEEP_ALIVE_S,
    reconnectPeriod: 0,
  });
  const assigned = new Promise((resolve) => {
    client.on('message', (_, payload) => {
      const [to, name, session] = String(payload).split(';');
      if (to === mac) resolve([name, session]);
    });
  });
  await client.subscribeAsync('state/nameAssign', { qos: 2 });
  await client.publishAsync('state/join', mac, { qos: 2 });
  const pair = await assigned;
  await client.endAsync();
  return pair;
}
