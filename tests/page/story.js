/**
 * A story: a hub of its own, a browser profile of its own, and the promise that the browser had
 * nothing to complain about.
 */

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { chromium } from 'playwright-core';
import { Board } from './board.js';
import { Hub } from './hub.js';

const CHROMIUM = process.env.CHROMIUM_BIN ?? '/usr/bin/chromium';

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** The first board of a story. */
export const MAC = '61:EC:ED:3B:25:B1';
export const SECOND_MAC = '61:EC:ED:3B:25:B2';

/** What Chromium logs of every answer that is not 2xx: part of a story, or not. */
const FAILED_REQUEST = /Failed to load resource/;

let browser;

before(async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ARGUMENTS });
});

after(() => browser?.close());

/**
 * Tells a story.
 *
 * @param {string} name
 * @param {object} setting
 * @param {boolean} [setting.refusals]   Whether requests fail in this story.
 * @param {object} [setting.context]     Options of the browser context: language, screen, colours.
 * @param {() => void} [setting.prepare] Runs in every tab before the page's own code.
 * @param {(scene: Scene) => Promise<void>} tell
 */
export function story(name, { refusals = false, context: options = {}, prepare }, tell) {
  test(name, { timeout: 180_000 }, async (t) => {
    const hub = await Hub.start();
    const context = await browser.newContext({ locale: 'en-GB', ...options });
    const scene = new Scene(hub, context, refusals);
    if (prepare) await context.addInitScript(prepare);
    t.after(async () => {
      await scene.end();
      await context.close();
      await hub.stop();
    });
    await tell(scene);
    assert.deepEqual(scene.complaints, [], 'the browser complains');
  });
}

/** @typedef {Scene} SceneType */
class Scene {
  /** What the browser logged as an error: scripts, requests, the content security policy. */
  complaints = [];
  #endings = [];

  constructor(hub, context, refusals) {
    this.hub = hub;
    this.context = context;
    context.on('console', (message) => {
      if (message.type() !== 'error' && message.type() !== 'warning') return;
      if (refusals && FAILED_REQUEST.test(message.text())) return;
      this.complaints.push(message.text());
    });
    context.on('weberror', (error) => this.complaints.push(String(error.error())));
  }

  /** Opens the page in a new tab. */
  async open() {
    const page = await this.context.newPage();
    await page.goto(this.hub.url);
    return page;
  }

  /** Lets a board join. */
  async board(mac = MAC) {
    const board = await Board.join(this.hub, mac);
    this.#endings.push(() => board.cut());
    return board;
  }

  /** Lets boards with the real device logic join. */
  simulate(devices) {
    this.#endings.push(this.hub.simulate(devices));
  }

  async end() {
    for (const ending of this.#endings) await ending();
  }
}

/** The card of a device. */
export function card(page, mac = MAC) {
  return page.locator(`.card[data-mac="${mac}"]`);
}

/** The card of a device, once it shows this presence. */
export async function presence(page, state, mac = MAC) {
  const found = page.locator(`.card[data-mac="${mac}"][data-state="${state}"]`);
  await found.waitFor({ timeout: 30_000 });
  return found;
}
