// Where the axis has its ticks and what stands at them: whole hours, days, weeks and months of a clock, across changes to summer time.

import { DAY, FIRST, HOUR, LAST, SECOND, YEAR } from "./time.js";
import { UTC, clockText } from "./zone.js";

const MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const STEPS = [
  0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
  172800, 604800,
].map((seconds) => seconds * SECOND);
/** Weeks begin on a Monday; 1970 began on a Thursday. */
const MONDAY = 4 * DAY;

/** The ticks of a stretch with at most so many of them: when, what to write, and whether something larger begins there. */
export function ticks(from, to, most, clock = UTC) {
  if (!(from < to && from >= FIRST && to <= LAST + YEAR)) return { step: YEAR, list: [] };
  const step = STEPS.find((each) => (to - from) / each <= most);
  if (!step) return calendar(from, to, most, clock);
  const offset = step >= 2 * DAY ? MONDAY : 0;
  const begin = clock.fields(from).getTime();
  const shift = begin - from;
  const list = [];
  // An hour that comes twice a year has ticks both times: up to an hour they are equally far from each other, whatever the clock does.
  for (let reads = Math.ceil((begin - offset) / step) * step + offset; ; reads += step) {
    const at = step <= HOUR ? reads - shift : clock.time(new Date(reads));
    if (!(at <= to)) return { step, list };
    if (at < from) continue;
    const fields = clock.fields(at);
    const midnight = fields.getTime() % DAY === 0;
    list.push({ at, label: midnight ? `${fields.getUTCDate()} ${MONTHS[fields.getUTCMonth()]}` : clockText(fields, step), large: midnight && step < DAY });
  }
}

/** Months and years, which differ in length. */
function calendar(from, to, most, clock) {
  const months = [1, 2, 3, 6, 12, 24, 60, 120, 600].find((each) => (to - from) / (each * 30.4 * DAY) <= most) ?? 1200;
  const list = [];
  const first = clock.fields(from);
  let month = Math.floor((first.getUTCFullYear() * 12 + first.getUTCMonth()) / months) * months;
  for (;;) {
    // Date.UTC takes the years 0 to 99 for others.
    const fields = new Date(0);
    fields.setUTCFullYear(Math.floor(month / 12), month % 12, 1);
    const at = clock.time(fields);
    if (!(at <= to)) return { step: months * 30 * DAY, list };
    if (at >= from) {
      const january = month % 12 === 0;
      list.push({ at, label: january ? String(Math.floor(month / 12)) : MONTHS[month % 12], large: january && months < 12 });
    }
    month += months;
  }
}

/** What ticks do not say: the day, month or year that the left edge lies in. */
export function context(ms, step, clock = UTC) {
  const fields = clock.fields(ms);
  if (step >= 300 * DAY) return "";
  if (step >= 20 * DAY) return String(fields.getUTCFullYear());
  if (step >= DAY) return `${MONTHS[fields.getUTCMonth()]} ${fields.getUTCFullYear()}`;
  return `${fields.getUTCDate()} ${MONTHS[fields.getUTCMonth()]} ${fields.getUTCFullYear()}`;
}
