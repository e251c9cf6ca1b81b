// Times and durations as people read them: UTC first, the time of whoever looks beside it.

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;
export const YEAR = 365 * DAY;

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const two = (number) => String(number).padStart(2, "0");

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

/** A Date whose UTC fields read what clocks show where the page is looked at. */
const shifted = (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * MINUTE);

function clock(date, precision) {
  const minutes = `${two(date.getUTCHours())}:${two(date.getUTCMinutes())}`;
  if (precision >= MINUTE) return minutes;
  const seconds = `${minutes}:${two(date.getUTCSeconds())}`;
  return precision >= SECOND ? seconds : `${seconds}.${String(date.getUTCMilliseconds()).padStart(3, "0")}`;
}

const day = (date) => `${date.getUTCFullYear()}-${two(date.getUTCMonth() + 1)}-${two(date.getUTCDate())}`;

/** A UTC time, as precise as it makes sense where one pixel is so many ms. */
export function utc(ms, precision = SECOND) {
  const date = new Date(ms);
  return `${day(date)} ${clock(date, precision)}`;
}

/** The same where the page is looked at, with the zone; without the day where that is the same. */
export function local(ms, precision = SECOND) {
  const date = shifted(ms);
  const same = day(date) === day(new Date(ms));
  return `${same ? "" : day(date) + " "}${clock(date, precision)} ${zone(ms)}`;
}

/** Whether clocks here show something else than UTC. */
export const differs = (ms) => new Date(ms).getTimezoneOffset() !== 0;

/** What the zone is called, such as CET or GMT+1. */
export function zone(ms) {
  const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(new Date(ms));
  return parts.find((part) => part.type === "timeZoneName")?.value ?? "local";
}

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

/** Bytes as people read them. */
export function bytes(count) {
  const units = ["B", "kB", "MB", "GB", "TB", "PB"];
  let at = 0;
  let value = count;
  while (value >= 1000 && at < units.length - 1) [value, at] = [value / 1000, at + 1];
  return `${value >= 100 || at === 0 ? Math.round(value) : value.toFixed(1)} ${units[at]}`;
}

const STEPS = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
  172800, 604800,
].map((seconds) => seconds * SECOND);
/** Weeks begin on a Monday; 1970 began on a Thursday. */
const MONDAY = 4 * DAY;

/** The ticks of a stretch with at most so many of them: when, what to write, and whether something larger begins there. */
export function ticks(from, to, most) {
  if (!(from < to && from >= FIRST && to <= LAST + YEAR)) return { step: YEAR, list: [] };
  const step = STEPS.find((each) => (to - from) / each <= most);
  if (!step) return calendar(from, to, most);
  const offset = step >= 2 * DAY ? MONDAY : 0;
  const list = [];
  for (let at = Math.ceil((from - offset) / step) * step + offset; at <= to; at += step) {
    const date = new Date(at);
    const midnight = at % DAY === 0;
    const label = midnight ? `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]}` : clock(date, step);
    list.push({ at, label, large: midnight && step < DAY, local: step < DAY ? clock(shifted(at), step) : null });
  }
  return { step, list };
}

/** Months and years, which differ in length. */
function calendar(from, to, most) {
  const months = [1, 2, 3, 6, 12, 24, 60, 120, 600].find((each) => (to - from) / (each * 30.4 * DAY) <= most) ?? 1200;
  const list = [];
  const first = new Date(from);
  let month = Math.floor((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months;
  for (;;) {
    // Date.UTC takes the years 0 to 99 for others.
    const at = new Date(0).setUTCFullYear(Math.floor(month / 12), month % 12, 1);
    if (!(at <= to)) return { step: months * 30 * DAY, list };
    if (at >= from) {
      const january = month % 12 === 0;
      list.push({ at, label: january ? String(Math.floor(month / 12)) : MONTHS[month % 12], large: january && months < 12, local: null });
    }
    month += months;
  }
}

/** What ticks do not say: the day, month or year that the left edge lies in. */
export function context(ms, step) {
  const date = new Date(ms);
  if (step >= 300 * DAY) return "";
  if (step >= 20 * DAY) return String(date.getUTCFullYear());
  if (step >= DAY) return `${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
  return `${date.getUTCDate()} ${MONTHS[date.getUTCMonth()]} ${date.getUTCFullYear()}`;
}
