/** Waiting for a condition, with a deadline that no slow machine reaches. */

import { setTimeout as sleep } from 'node:timers/promises';

const DEADLINE_MS = 30_000;
const PAUSE_MS = 50;

/**
 * Repeats an assertion until it holds.
 *
 * @template T
 * @param {() => T | Promise<T>} assertion
 * @returns {Promise<T>} What the assertion returned at last.
 */
export async function eventually(assertion) {
  const deadline = Date.now() + DEADLINE_MS;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (Date.now() > deadline) throw error;
    }
    await sleep(PAUSE_MS);
  }
}
