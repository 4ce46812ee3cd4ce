/** What boards do is seen at once, in every tab. */

import assert from 'node:assert/strict';
import { eventually } from './eventually.js';
import { card, MAC, presence, story } from './story.js';

story('an empty hub says how a board gets there, and shows the first without a reload', {}, async (scene) => {
  const page = await scene.open();
  await page.getByText('No board yet').waitFor();
  await page.getByText(scene.hub.mqtt, { exact: true }).waitFor();
  await scene.board();
  const shown = await presence(page, 'online');
  assert.equal(await shown.locator('.name').textContent(), 'capteur01');
  assert.equal(await page.getByText('No board yet').count(), 0);
});

story('simulated boards come online with the real device logic', {}, async (scene) => {
  const page = await scene.open();
  scene.simulate(3);
  await eventually(async () => {
    assert.equal(await page.locator('.card[data-state="online"]').count(), 3);
  });
  await page.locator('.summary', { hasText: '3 of 3 online' }).waitFor();
  await eventually(async () => {
    for (const line of await page.locator('.chart-line').all()) {
      assert.match(await line.getAttribute('d'), /L/);
    }
  });
});

story('one of many boards is found by its name', {}, async (scene) => {
  const page = await scene.open();
  scene.simulate(120);
  await page.locator('.summary', { hasText: '120 of 120 online' }).waitFor();
  await page.getByRole('searchbox').fill('CAPTEUR11');
  const names = page.locator('.name');
  const found = ['capteur11', ...Array.from({ length: 10 }, (_, i) => `capteur${110 + i}`)];
  await eventually(async () => assert.deepEqual(await names.allTextContents(), found));
  await page.locator('.summary', { hasText: '11 of 120 shown' }).waitFor();
  await page.getByText('Not online', { exact: true }).click();
  await page.getByText('No board matches.').waitFor();
  await page.getByRole('button', { name: 'Show all boards' }).click();
  await eventually(async () => assert.equal(await names.count(), 120));
  assert.deepEqual((await names.allTextContents()).slice(8, 11), ['capteur09', 'capteur10', 'capteur11']);
});

story('a press is seen, and its release', {}, async (scene) => {
  const board = await scene.board();
  const page = await scene.open();
  const row = (await presence(page, 'online')).locator('.push');
  await row.getByText('Not used yet').waitFor();
  await board.press();
  await row.getByText('Pressed').waitFor();
  await board.release();
  await row.getByText('Released').waitFor();
  await row.getByText('just now').waitFor();
});

story('what a board tells about itself is behind a line that stays open', {}, async (scene) => {
  const board = await scene.board();
  const page = await scene.open();
  const shown = await presence(page, 'online');
  assert.equal(await shown.locator('.info').count(), 0);
  await board.tell('fw=0.1.0;chip=esp32c3;reset=power-on;rssi=-61;up=7300;lost=0');
  await shown.getByText('About this board').click();
  const facts = shown.locator('.info dd');
  assert.deepEqual(await facts.allTextContents(), ['0.1.0', 'esp32c3', 'power-on', '-61 dBm', '2 hr']);
  await board.tell('fw=0.1.0;chip=esp32c3;reset=watchdog;rssi=-61;up=5;lost=3');
  await shown.getByText('watchdog').waitFor();
  await shown.getByText('Readings lost').waitFor();
});

story('the light level moves, and begins with what was before the page', {}, async (scene) => {
  const board = await scene.board();
  for (const percent of [10, 20]) await board.light(percent);
  const page = await scene.open();
  const shown = await presence(page, 'online');
  await board.light(87);
  await eventually(async () => {
    assert.equal((await shown.locator('.level').textContent()).replace(/\s+/g, ' ').trim(), '87 %');
    const label = await shown.getByRole('img').getAttribute('aria-label');
    assert.match(label, /between 10 % and 87 %/);
  });
});

story('a board that loses its power goes offline, by shape and by word', {}, async (scene) => {
  const board = await scene.board();
  const page = await scene.open();
  const online = await (await presence(page, 'online')).locator('.presence-mark').innerHTML();
  await board.cut();
  const shown = await presence(page, 'offline');
  await shown.getByText('Offline').waitFor();
  assert.notEqual(await shown.locator('.presence-mark').innerHTML(), online);
});

story('a forgotten board goes from the page', {}, async (scene) => {
  const board = await scene.board();
  const page = await scene.open();
  await presence(page, 'online');
  await board.leave();
  await presence(page, 'offline');
  await scene.hub.call('DELETE', `/devices/${MAC}`);
  await card(page).waitFor({ state: 'detached' });
  await page.getByText('No board yet').waitFor();
});

story('more tabs than a browser has connections are all live', {}, async (scene) => {
  const board = await scene.board();
  const pages = [];
  for (let i = 0; i < 8; i += 1) pages.push(await scene.open());
  for (const page of pages) await presence(page, 'online');
  await board.light(42);
  for (const page of pages) await card(page).getByText('42').first().waitFor();
  // One connection is left for orders, too.
  await card(pages[7]).getByRole('switch').click();
  await card(pages[0]).locator('.led[data-on="true"]').waitFor();
});

const withoutSharedWorker = () => {
  delete globalThis.SharedWorker;
};

story('a browser without shared workers listens by itself', { prepare: withoutSharedWorker }, async (scene) => {
  const board = await scene.board();
  const page = await scene.open();
  await presence(page, 'online');
  await board.light(33);
  await card(page).getByText('33').first().waitFor();
});
