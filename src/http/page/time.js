// Times, lengths and sizes as numbers, and how lengths and sizes are written. How a time is written is in zone.js.

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const YEAR = 365 * DAY;

/** The first and the last time that the API takes: four digits of a year. */
export const FIRST = Date.parse("0000-01-01T00:00:00Z");
export const LAST = Date.parse("9999-12-31T23:59:59.999Z");
/** Milliseconds since 1970 of an ISO time; what is finer is left out. The end of the last segment of the year 9999 may lie in the next. */
export const parse = (text) => (/^\d{5}/.test(text) ? LAST : Date.parse(text));
/** The same, but not before that time: where it is finer than a millisecond, the next one. */
export const parseUp = (text) => parse(text) + (/\.\d{3}\d*[1-9]/.test(text) ? 1 : 0);
/** The ISO time of milliseconds since 1970, as near as the API takes one. */
export const iso = (ms) => new Date(Math.min(Math.max(Math.round(ms), FIRST), LAST)).toISOString();
/** When an hour such as 2019-11-13T02 begins. */
export const hourStart = (hour) => Date.parse(hour + ":00:00Z");

/** How long something is: two units at the most. */
export function duration(ms) {
  const units = [[YEAR, "y"], [DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [SECOND, "s"]];
  const length = Math.abs(ms);
  if (length < MINUTE) return `${trimmed(length / SECOND, length < 10 * SECOND ? 3 : 1)} s`;
  const at = units.findIndex(([unit]) => length >= unit);
  const [[large, name], [small, rest]] = [units[at], units[at + 1]];
  let whole = Math.floor(length / large);
  let part = Math.round((length % large) / small);
  if (part * small >= large) [whole, part] = [whole + 1, 0];
  return part ? `${whole} ${name} ${part} ${rest}` : `${whole} ${name}`;
}

/** How long ago something was: one unit. */
export function ago(ms) {
  const units = [[DAY, "d"], [HOUR, "h"], [MINUTE, "min"], [SECOND, "s"]];
  const [unit, name] = units.find(([each]) => ms >= each) ?? units.at(-1);
  return `${Math.max(0, Math.floor(ms / unit))} ${name} ago`;
}

const trimmed = (number, digits) => String(Number(number.toFixed(digits)));

/** Bytes as people read them, in the units of the command line. */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let at = 0;
  let value = count;
  while (value >= 1024 && at < units.length - 1) [value, at] = [value / 1024, at + 1];
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

/** A number as people read it. */
export const grouped = (number) => number.toLocaleString("en").replaceAll(",", "\u202f");

/** A number with what it counts: "1 file", "2 files". */
export const counted = (number, one, many = `${one}s`) => `${grouped(number)} ${number === 1 ? one : many}`;
