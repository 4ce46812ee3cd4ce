import assert from 'node:assert/strict';
import { readdir, readFile } from 'node:fs/promises';
import { test } from 'node:test';
import { choose, LANGUAGES, Texts } from '../src/i18n.js';

const SOURCE = new URL('../src/', import.meta.url);
const KEYS = Object.keys(LANGUAGES.en.texts);

test('every language has every text, with the same places for values', () => {
  const places = (text) => [...text.matchAll(/\{\w+\}/g)].map(([place]) => place).sort();
  for (const [tag, { texts }] of Object.entries(LANGUAGES)) {
    assert.deepEqual(Object.keys(texts), KEYS, tag);
    for (const key of KEYS) {
      assert.notEqual(texts[key].trim(), '', `${tag}: ${key}`);
      assert.deepEqual(places(texts[key]), places(LANGUAGES.en.texts[key]), `${tag}: ${key}`);
    }
  }
});

test('every text is used', async () => {
  const files = (await readdir(SOURCE, { recursive: true }))
    .filter((file) => file.endsWith('.js') && !file.startsWith('locales'));
  const source = (await Promise.all(files.map((file) => readFile(new URL(file, SOURCE), 'utf8')))).join();
  // These are composed of a prefix and what the hub says.
  const composed = /^(link|state|filter)\.\w+$/;
  for (const key of KEYS.filter((key) => !composed.test(key))) {
    assert.ok(source.includes(`'${key}'`), key);
  }
});

test('the first language that we have is taken', () => {
  assert.equal(choose(['de-CH', 'fr-CH', 'en']), 'fr');
  assert.equal(choose(['EN-us']), 'en');
  assert.equal(choose(['constructor', '']), 'en');
  assert.equal(choose([]), 'en');
});

test('values are put in their places', () => {
  assert.equal(new Texts().say('summary', { online: 3, all: 4 }), '3 of 4 online');
});
