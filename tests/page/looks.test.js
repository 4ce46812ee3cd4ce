/** For every screen and every reader. */

import assert from 'node:assert/strict';
import { screenshot, SCREENS, violations } from './screens.js';
import { card, presence, SECOND_MAC, story } from './story.js';

/** Two boards, one of which has left. */
async function stage(scene) {
  const board = await scene.board();
  await board.led(true);
  for (const percent of [20, 40, 35, 60, 58]) await board.light(percent);
  await board.press();
  await (await scene.board(SECOND_MAC)).leave();
  const page = await scene.open();
  await presence(page, 'online');
  await presence(page, 'offline', SECOND_MAC);
  await card(page).locator('.led[data-on="true"]').waitFor();
  return page;
}

for (const [name, screen] of Object.entries(SCREENS)) {
  story(`nothing is wrong for axe, and all fits (${name})`, { context: screen, refusals: true }, async (scene) => {
    const page = await stage(scene);
    await screenshot(page, name);
    assert.deepEqual(await violations(page), []);
    await card(page).locator('.rename-open').click();
    await card(page).getByLabel('New name').waitFor();
    const away = card(page, SECOND_MAC);
    await away.locator('.board-open').click();
    await away.getByLabel('MAC address of the new board').fill('?');
    await away.getByRole('button', { name: 'Replace', exact: true }).click();
    await away.getByText('That is not a MAC address.').waitFor();
    await screenshot(page, `${name}-forms`);
    assert.deepEqual(await violations(page), []);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= screen.viewport.width, `${width} px wide`);
  });
}

story('what can be clicked is at least 24 pixels wide and high', { context: SCREENS.phone }, async (scene) => {
  const page = await stage(scene);
  for (const target of await page.locator('button, select, input').all()) {
    const { width, height } = await target.boundingBox();
    assert.ok(width >= 24 && height >= 24, `${width} x ${height}: ${await target.innerHTML()}`);
  }
});

story('a French browser gets French, and the choice of a language is kept', { context: { locale: 'fr-CH' } }, async (scene) => {
  await scene.board();
  const page = await scene.open();
  const shown = await presence(page, 'online');
  await shown.getByText('En ligne').waitFor();
  assert.equal(await page.locator('html').getAttribute('lang'), 'fr');
  await page.getByLabel('Langue').selectOption('en');
  await shown.getByText('Online').waitFor();
  await page.reload();
  await (await presence(page, 'online')).getByText('Online').waitFor();
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
});

story('motion stops for those who ask for it', { context: { reducedMotion: 'reduce' } }, async (scene) => {
  const board = await scene.board();
  board.obedient = false;
  const page = await scene.open();
  const shown = await presence(page, 'online');
  await shown.getByRole('switch').click();
  await shown.locator('.switch[aria-busy="true"]').waitFor();
  await board.press();
  await shown.getByText('Pressed').waitFor();
  assert.equal(await page.evaluate(() => document.getAnimations().length), 0);
  await board.led(true);
});

story('without JavaScript the page says where the facts are', { context: { javaScriptEnabled: false } }, async (scene) => {
  const page = await scene.open();
  await page.getByRole('link', { name: 'the boards as JSON' }).waitFor();
});
