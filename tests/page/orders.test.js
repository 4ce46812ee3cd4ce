/** What people do on the page: switch, rename, replace. */

import assert from 'node:assert/strict';
import { eventually } from './eventually.js';
import { card, MAC, presence, SECOND_MAC, story } from './story.js';

story('the LED switch waits for the board, in every tab', {}, async (scene) => {
  const board = await scene.board();
  board.obedient = false;
  const [page, other] = [await scene.open(), await scene.open()];
  const led = (await presence(page, 'online')).getByRole('switch', { name: 'LED of capteur01' });
  const mirrored = (await presence(other, 'online')).getByRole('switch');

  await led.click();
  await eventually(() => assert.deepEqual(board.orders, [true]));
  for (const shown of [led, mirrored]) {
    await eventually(async () => assert.equal(await shown.getAttribute('aria-busy'), 'true'));
    assert.equal(await shown.getAttribute('aria-checked'), 'false', 'no optimism');
  }

  await board.led(true);
  for (const shown of [led, mirrored]) {
    await eventually(async () => assert.equal(await shown.getAttribute('aria-checked'), 'true'));
    await eventually(async () => assert.equal(await shown.getAttribute('aria-busy'), 'false'));
  }
});

story('a board that does not confirm is said not to have', { refusals: true }, async (scene) => {
  const board = await scene.board();
  board.obedient = false;
  const page = await scene.open();
  const shown = await presence(page, 'online');
  await shown.getByRole('switch').click();
  await shown.getByText('capteur01 did not confirm.').waitFor();
  const led = shown.getByRole('switch');
  assert.equal(await led.getAttribute('aria-checked'), 'false');
  assert.equal(await led.getAttribute('aria-busy'), 'false');
  // Its word, however late, settles the matter.
  await board.led(true);
  await eventually(async () => assert.equal(await led.getAttribute('aria-checked'), 'true'));
  await shown.getByRole('alert').waitFor({ state: 'detached' });
});

story('an order that another one replaces is said to be', { refusals: true }, async (scene) => {
  const board = await scene.board();
  board.obedient = false;
  const page = await scene.open();
  const shown = await presence(page, 'online');
  await shown.getByRole('switch').click();
  await eventually(() => assert.deepEqual(board.orders, [true]));
  const other = scene.hub.call('PUT', '/devices/capteur01/led', { on: false });
  await shown.getByText('Another order took the place of this one.').waitFor();
  await eventually(() => assert.deepEqual(board.orders, [true, false]));
  await board.led(false);
  await other;
  await shown.getByRole('alert').waitFor({ state: 'detached' });
});

story('the LED follows what others order', {}, async (scene) => {
  await scene.board();
  const page = await scene.open();
  const led = (await presence(page, 'online')).getByRole('switch');
  for (const on of [true, false]) {
    await scene.hub.call('PUT', '/devices/capteur01/led', { on });
    await eventually(async () => assert.equal(await led.getAttribute('aria-checked'), String(on)));
  }
});

story('the LED of a board that is away cannot be switched', {}, async (scene) => {
  const board = await scene.board();
  const page = await scene.open();
  await presence(page, 'online');
  await board.leave();
  const shown = await presence(page, 'offline');
  const led = shown.getByRole('switch');
  await eventually(async () => assert.equal(await led.getAttribute('aria-disabled'), 'true'));
  await led.focus();
  await page.keyboard.press('Space');
  await shown.getByText('capteur01 is not online').waitFor();
  assert.equal(await led.getAttribute('aria-busy'), 'false');
});

story('a board is renamed with the keyboard alone', { refusals: true }, async (scene) => {
  await scene.board();
  await scene.board(SECOND_MAC);
  const page = await scene.open();
  const shown = await presence(page, 'online');
  await presence(page, 'online', SECOND_MAC);
  const pencil = shown.locator('.rename-open');

  await pencil.focus();
  await page.keyboard.press('Enter');
  const field = shown.getByLabel('New name');
  await eventually(async () => assert.ok(await field.evaluate((e) => e === document.activeElement)));
  await page.keyboard.press('Escape');
  await field.waitFor({ state: 'detached' });
  await eventually(async () => assert.ok(await pencil.evaluate((e) => e === document.activeElement)));

  await page.keyboard.press('Enter');
  await field.waitFor();
  await page.keyboard.type('CAPTEUR02');
  await page.keyboard.press('Enter');
  await shown.getByText('Another board has that name.', { exact: true }).waitFor();
  assert.equal(await shown.locator('.failure .detail').count(), 0);

  await field.fill('Le;Bron');
  await page.keyboard.press('Enter');
  await shown.getByText('That can’t be a name.').waitFor();
  assert.equal(await shown.locator('.failure .detail').textContent(), "a name can't contain ';'");
  assert.equal(await field.getAttribute('aria-invalid'), 'true');

  // It sorts behind the other now: the focus moves with it.
  await field.fill('LeBron');
  await page.keyboard.press('Enter');
  await shown.getByRole('heading', { name: 'LeBron' }).waitFor();
  await eventually(async () => assert.ok(await pencil.evaluate((e) => e === document.activeElement)));
  assert.deepEqual(await page.locator('.name').allTextContents(), ['capteur02', 'LeBron']);
  await card(page).getByRole('button', { name: 'Rename LeBron' }).waitFor();
});

story('a board is replaced with the keyboard alone, and given back', { refusals: true }, async (scene) => {
  const broken = await scene.board();
  for (const percent of [10, 90]) await broken.light(percent);
  const spare = await scene.board(SECOND_MAC);
  await spare.light(50);
  const [page, other] = [await scene.open(), await scene.open()];
  const old = card(page);
  await presence(page, 'online');
  assert.equal(await old.locator('.board-open').count(), 0, 'nothing is wrong with it');
  await broken.cut();
  await presence(page, 'offline');

  const open = old.getByRole('button', { name: 'Replace board of capteur01' });
  await open.focus();
  await page.keyboard.press('Enter');
  const field = old.getByLabel('MAC address of the new board');
  await eventually(async () => assert.ok(await field.evaluate((e) => e === document.activeElement)));
  await page.keyboard.press('Escape');
  await field.waitFor({ state: 'detached' });
  await eventually(async () => assert.ok(await open.evaluate((e) => e === document.activeElement)));

  await page.keyboard.press('Enter');
  await field.waitFor();
  const offered = old.locator('datalist option');
  assert.deepEqual(await offered.evaluateAll((all) => all.map((e) => e.value)), [SECOND_MAC]);
  await page.keyboard.type('the spare one');
  await page.keyboard.press('Enter');
  await old.getByText('That is not a MAC address.').waitFor();
  assert.equal(await field.getAttribute('aria-invalid'), 'true');
  await field.fill(MAC);
  await page.keyboard.press('Enter');
  await old.getByText('This is the board already.').waitFor();

  await field.fill(SECOND_MAC.toLowerCase());
  await page.keyboard.press('Enter');
  await card(page).waitFor({ state: 'detached' });
  const replaced = card(page, SECOND_MAC);
  await replaced.getByRole('heading', { name: 'capteur01' }).waitFor();
  const pencil = replaced.locator('.rename-open');
  await eventually(async () => assert.ok(await pencil.evaluate((e) => e === document.activeElement)));
  await replaced.getByText(`in the place of ${MAC}`).waitFor();
  for (const tab of [page, other]) {
    await card(tab, SECOND_MAC).getByRole('heading', { name: 'capteur01' }).waitFor();
    await eventually(async () => assert.equal(await tab.locator('.card').count(), 1));
  }
  // The past is that of the device, not of the board.
  await eventually(async () => {
    const label = await replaced.getByRole('img').getAttribute('aria-label');
    assert.match(label, /between 10 % and 90 %/);
  });

  assert.equal(await replaced.locator('.board-open').count(), 0, 'it is online');
  await spare.cut();
  await presence(page, 'offline', SECOND_MAC);
  await replaced.getByRole('button', { name: 'Undo replacement of capteur01' }).click();
  await replaced.getByText(`capteur01 gets the board ${MAC} back.`).waitFor();
  await replaced.getByRole('button', { name: 'Undo', exact: true }).click();
  for (const tab of [page, other]) {
    await card(tab).getByRole('heading', { name: 'capteur01' }).waitFor();
    await card(tab, SECOND_MAC).getByRole('heading', { name: 'capteur02' }).waitFor();
  }
  await eventually(async () => {
    const label = await card(page, SECOND_MAC).getByRole('img').getAttribute('aria-label');
    assert.match(label, /between 50 % and 50 %/);
  });
});
