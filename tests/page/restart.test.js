/** The hub goes and returns; the page stays. */

import assert from 'node:assert/strict';
import { eventually } from './eventually.js';
import { card, MAC, presence, SECOND_MAC, story } from './story.js';

story('a restart of the hub heals without a reload', { refusals: true }, async (scene) => {
  await scene.board();
  const page = await scene.open();
  await presence(page, 'online');
  await page.evaluate(() => (globalThis.sameDocument = true));

  await scene.hub.kill();
  await page.getByText('The hub does not answer.', { exact: true }).waitFor();
  const led = card(page).getByRole('switch');
  await eventually(async () => assert.equal(await led.getAttribute('aria-disabled'), 'true'));

  await scene.hub.resume();
  await presence(page, 'offline', MAC);
  await page.getByText('The hub does not answer.', { exact: true }).waitFor({ state: 'detached' });
  const board = await scene.board();
  await presence(page, 'online');
  await board.light(64);
  await card(page).getByText('64').first().waitFor();
  await scene.board(SECOND_MAC);
  await presence(page, 'online', SECOND_MAC);
  assert.equal(await page.evaluate(() => globalThis.sameDocument), true);
});

story('a hub that falls silent is noticed, and heals', { refusals: true }, async (scene) => {
  await scene.board();
  const page = await scene.open();
  await presence(page, 'online');
  await page.getByText('Live', { exact: true }).waitFor();
  scene.hub.freeze();
  await page.getByText('The hub does not answer.', { exact: true }).waitFor();
  scene.hub.thaw();
  await page.getByText('The hub does not answer.', { exact: true }).waitFor({ state: 'detached' });
  const board = await scene.board(SECOND_MAC);
  await board.light(64);
  await card(page, SECOND_MAC).getByText('64').first().waitFor();
});

/** Makes the stream give up at once, twice, as an answer that is no stream does. */
const brokenStreams = () => {
  delete globalThis.SharedWorker;
  const Real = globalThis.EventSource;
  let left = 2;
  globalThis.EventSource = class extends Real {
    constructor(url) {
      super(left > 0 ? '/no-such-stream' : url);
      left -= 1;
    }
  };
};

story('a stream that is refused is asked for again', { refusals: true, prepare: brokenStreams }, async (scene) => {
  await scene.board();
  const page = await scene.open();
  await page.getByText('The hub does not answer.', { exact: true }).waitFor();
  await presence(page, 'online');
  await page.getByText('The hub does not answer.', { exact: true }).waitFor({ state: 'detached' });
});
