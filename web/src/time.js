/** How long ago, in words. */

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** Less than this is "just now": a device that reports every second must not flicker. */
const NOW_MS = 5_000;

/** @type {Map<string, Intl.RelativeTimeFormat>} */
const formats = new Map();

/** @param {string} language */
function format(language) {
  let made = formats.get(language);
  if (!made) {
    made = new Intl.RelativeTimeFormat(language, { numeric: 'always', style: 'short' });
    formats.set(language, made);
  }
  return made;
}

/**
 * Says how long ago something was: "12 sec. ago".
 *
 * @param {number} ms        Its age; one of the future counts as none.
 * @param {string} language  A BCP 47 tag.
 * @param {string} justNow   What to say of the last seconds.
 */
export function ago(ms, language, justNow) {
  const words = format(language);
  if (ms < NOW_MS) return justNow;
  if (ms < MINUTE_MS) return words.format(-Math.floor(ms / 1000), 'second');
  if (ms < HOUR_MS) return words.format(-Math.floor(ms / MINUTE_MS), 'minute');
  if (ms < DAY_MS) return words.format(-Math.floor(ms / HOUR_MS), 'hour');
  return words.format(-Math.floor(ms / DAY_MS), 'day');
}

/**
 * Says how long something has lasted, in its largest unit: "3 hr".
 *
 * @param {number} seconds
 * @param {string} language  A BCP 47 tag.
 */
export function lasted(seconds, language) {
  /** @type {[number, string][]} */
  const units = [[86_400, 'day'], [3_600, 'hour'], [60, 'minute'], [1, 'second']];
  const [length, unit] = units.find(([length]) => seconds >= length) ?? [1, 'second'];
  const form = new Intl.NumberFormat(language, { style: 'unit', unit, unitDisplay: 'short' });
  return form.format(Math.floor(seconds / length));
}
