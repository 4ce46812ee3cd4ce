/** The real hub, as a process of its own on a temporary store. */

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { eventually } from './eventually.js';

const BINARY =
  process.env.CAPTEUR_BIN ?? path.join(import.meta.dirname, '../../target/debug/capteur');

/** What a hub has said lately, for the report of a failure: so many characters. */
const LOG_KEPT = 4_000;

export class Hub {
  /** `http://host:port`. */
  url = '';
  /** `host:port`. */
  mqtt = '';
  /** How much room the hub leaves on the disk, in megabytes. */
  minFree = 0;
  #folder;
  #listen = { mqtt: '127.0.0.1:0', http: '127.0.0.1:0' };
  #process;
  #log = '';

  /** Starts a hub on an empty store and any free ports. */
  static async start() {
    const hub = new Hub();
    hub.#folder = await mkdtemp(path.join(tmpdir(), 'capteur-page-'));
    await hub.resume();
    return hub;
  }

  /** The folder of the store. */
  get store() {
    return path.join(this.#folder, 'store');
  }

  /** Starts the hub again after {@link kill}, on its store and its ports. */
  async resume() {
    const settings = path.join(this.#folder, 'config.toml');
    const addresses = path.join(this.#folder, 'addresses.json');
    await rm(addresses, { force: true });
    await writeFile(settings, this.#settings());
    this.#process = spawn(BINARY, ['serve', '--config', settings, '--addresses-file', addresses], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    const note = (chunk) => (this.#log = (this.#log + chunk).slice(-LOG_KEPT));
    this.#process.stdout.on('data', note);
    this.#process.stderr.on('data', note);
    this.#process.on('error', (error) => note(`${BINARY}: ${error.message}`));
    await eventually(async () => {
      assert.equal(this.#process.exitCode, null, `the hub has ended:\n${this.#log}`);
      const text = await readFile(addresses, 'utf8').catch(() => assert.fail(this.#log));
      this.#listen = JSON.parse(text);
    });
    this.url = `http://${this.#listen.http}`;
    this.mqtt = this.#listen.mqtt;
  }

  /** Ends the hub as a power cut does. */
  kill() {
    return this.#end('SIGKILL');
  }

  /** Makes the hub silent without a word, as a cable that is pulled does. */
  freeze() {
    this.#process.kill('SIGSTOP');
  }

  thaw() {
    this.#process.kill('SIGCONT');
  }

  /** Ends the hub for good. */
  async stop() {
    await this.#end('SIGTERM');
    await rm(this.#folder, { recursive: true, force: true });
  }

  /** Runs boards with the real device logic against this hub; returns what ends them. */
  simulate(devices) {
    const boards = spawn(
      BINARY,
      ['simulate', '--broker', this.mqtt, '--devices', String(devices), '--interval', '1', '--seed', '7'],
      { stdio: 'ignore' },
    );
    return () => boards.kill();
  }

  /** One call of the API; the answer's JSON. */
  async call(method, route, body) {
    const response = await fetch(`${this.url}/api/v1${route}`, {
      method,
      headers: { 'content-type': 'application/json' },
      body: body && JSON.stringify(body),
    });
    const text = await response.text();
    assert.ok(response.ok, `${method} ${route}: ${response.status} ${text}`);
    return text && JSON.parse(text);
  }

  #end(signal) {
    const child = this.#process;
    if (child.exitCode !== null || child.signalCode !== null) return undefined;
    return new Promise((resolve) => {
      child.once('exit', resolve);
      child.kill(signal);
    });
  }

  #settings() {
    return [
      '[mqtt]',
      `listen = ${JSON.stringify(this.#listen.mqtt)}`,
      '[http]',
      `listen = ${JSON.stringify(this.#listen.http)}`,
      '[store]',
      `path = ${JSON.stringify(this.store)}`,
      `min_free_mb = ${this.minFree}`,
      '[auth]',
      'required = false',
      '',
    ].join('\n');
  }
}
