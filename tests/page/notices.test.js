/** What people are told of the hub's store. */

import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { screenshot, SCREENS, violations } from './screens.js';
import { card, presence, story } from './story.js';

const FULL = 'The disk is nearly full: readings are not recorded.';

story('a disk that is nearly full is said to be until there is room', { refusals: true }, async (scene) => {
  const { hub } = scene;
  const page = await scene.open();
  await page.getByText('No board yet').waitFor();
  await hub.kill();
  hub.minFree = 1_000_000;
  await hub.resume();
  const alert = page.getByRole('alert').filter({ hasText: FULL });
  await alert.waitFor();
  assert.equal(await alert.getByRole('button').count(), 0, 'it is not to be dismissed');
  const board = await scene.board();
  await presence(page, 'online');
  await board.press();
  await card(page).locator('.push').getByText('Pressed').waitFor();
  const health = await fetch(`${hub.url}/api/v1/health`);
  assert.equal(health.status, 503);
  assert.match((await health.json()).store.detail, /readings are not recorded/);

  await hub.kill();
  hub.minFree = 0;
  await hub.resume();
  await alert.waitFor({ state: 'detached' });
  assert.equal((await fetch(`${hub.url}/api/v1/health`)).status, 200);
});

story('a store that was recovered is said to be, until that is read', { refusals: true }, async (scene) => {
  const { hub } = scene;
  await hub.kill();
  const aside = 'damaged-20261122T140527Z';
  await mkdir(path.join(hub.store, aside));
  const report = {
    at: '2026-11-22T14:05:27.000Z',
    reason: 'a bit flipped',
    set_aside: aside,
    backup: null,
    devices: 3,
    readings: 1234,
    log_lines: 5,
    newest_reading: '2026-11-22T14:05:20.000Z',
    lost_devices: 0,
    lost_readings: 7,
    lost_commits: 0,
    lost_between: null,
  };
  await writeFile(path.join(hub.store, aside, 'RECOVERY.json'), JSON.stringify(report));
  await hub.resume();
  const page = await scene.open();
  const notice = page.locator('[data-notice="recovered"]');
  await notice.getByText('3 boards and 1,234 readings were saved').waitFor();
  await notice.getByText('Single readings lost: 7').waitFor();
  await notice.getByText(aside).waitFor();
  const health = await hub.call('GET', '/health');
  assert.equal(health.storage.recovered.lost_readings, 7);
  await notice.getByRole('button', { name: 'Dismiss' }).click();
  await notice.waitFor({ state: 'detached' });
  assert.ok(await page.locator('#boards').evaluate((e) => e === document.activeElement));
  await page.reload();
  await page.getByText('No board yet').waitFor();
  assert.equal(await notice.count(), 0, 'it has been read');
});

/** Makes the stream say that nothing is well. */
const allAmiss = () => {
  delete globalThis.SharedWorker;
  const storage = {
    recording: false,
    needed_bytes: 281_600_000,
    time_uncertain: true,
    recovered: {
      at: '2026-11-22T14:05:27.000Z',
      set_aside: 'damaged-20261122T140527Z',
      devices: 3,
      readings: 123_456,
      newest_reading: '2026-11-22T14:05:20.000Z',
      lost_devices: 1,
      lost_readings: 7,
      lost_commits: 2,
      lost_between: ['2026-11-22T13:00:00.000Z', '2026-11-22T13:10:00.000Z'],
    },
  };
  const Real = globalThis.EventSource;
  globalThis.EventSource = class extends Real {
    constructor(url) {
      super(url);
      this.addEventListener('snapshot', () =>
        setTimeout(() => {
          const data = JSON.stringify(storage);
          this.dispatchEvent(new MessageEvent('storage', { data }));
        }),
      );
    }
  };
};

story('a guessed time is said to be one, until that is read', { prepare: allAmiss }, async (scene) => {
  const page = await scene.open();
  const notice = page.locator('[role="status"] [data-notice="time"]');
  await notice.getByText('The hub does not know the time.').waitFor();
  await notice.getByRole('button', { name: 'Dismiss' }).click();
  await notice.waitFor({ state: 'detached' });
  await page.getByRole('alert').getByText('281 MB').or(page.getByText('282 MB')).first().waitFor();
});

for (const [name, screen] of Object.entries(SCREENS)) {
  story(`notices fit and please axe (${name})`, { context: screen, prepare: allAmiss }, async (scene) => {
    await scene.board();
    const page = await scene.open();
    await presence(page, 'online');
    await page.locator('[data-notice="recovered"]').waitFor();
    await screenshot(page, `${name}-notices`);
    assert.deepEqual(await violations(page), []);
    const width = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(width <= screen.viewport.width, `${width} px wide`);
  });
}

story('notices are in French for those who read it', { context: { locale: 'fr-CH' }, prepare: allAmiss }, async (scene) => {
  const page = await scene.open();
  await page.getByRole('alert').getByText('Le disque est presque plein').waitFor();
  await page.getByText('Le hub ne connaît pas l’heure.').waitFor();
  await page.getByText('Cartes perdues : 1').waitFor();
});
