/** The page's languages. */

import en from './locales/en.js';
import fr from './locales/fr.js';

/** @typedef {keyof typeof en} Key */

/** @type {Record<string, {name: string, texts: Record<string, string>}>} */
export const LANGUAGES = {
  en: { name: 'English', texts: en },
  fr: { name: 'Français', texts: fr },
};

const STORAGE_KEY = 'capteur.language';

/**
 * The best of our languages for somebody who reads `wanted`, best first.
 *
 * @param {readonly string[]} wanted  BCP 47 tags.
 */
export function choose(wanted) {
  for (const tag of wanted) {
    const [language = ''] = tag.toLowerCase().split('-');
    if (Object.hasOwn(LANGUAGES, language)) return language;
  }
  return 'en';
}

/** The texts in the language of the moment. */
export class Texts {
  #language = 'en';

  get language() {
    return this.#language;
  }

  /** Takes the language that was chosen here before, else the browser's. */
  restore() {
    this.#language = choose([stored() ?? '', ...navigator.languages]);
    return this;
  }

  /** Changes the language, and remembers it.
   * @param {string} language */
  use(language) {
    this.#language = choose([language]);
    try {
      localStorage.setItem(STORAGE_KEY, this.#language);
    } catch {
      // Storage is forbidden: the choice holds until the page is closed.
    }
  }

  /**
   * The text of a key, with `{name}` replaced by the value of that name.
   *
   * @param {Key} key
   * @param {Record<string, string | number>} [values]
   */
  say = (key, values = {}) => {
    const text = LANGUAGES[this.#language]?.texts[key] ?? key;
    return text.replace(/\{(\w+)\}/g, (_, name) => String(values[name] ?? ''));
  };
}

function stored() {
  try {
    return localStorage.getItem(STORAGE_KEY);
  } catch {
    return null;
  }
}
