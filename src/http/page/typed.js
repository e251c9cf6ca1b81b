// Understands a time as people type it: a time of day, with or without a day, of the clock that comes first or of the zone that is given,
// `now`, `5 min ago`, `yesterday 7:36`. Pure: what is shown and what time it is are told.

import { DAY, FIRST, HOUR, LAST, MINUTE, SECOND } from "./time.js";
import { UTC } from "./zone.js";

const UNITS = { s: SECOND, sec: SECOND, second: SECOND, m: MINUTE, min: MINUTE, minute: MINUTE, h: HOUR, hour: HOUR, d: DAY, day: DAY };
const AGO = /^(\d+(?:\.\d+)?)\s*([a-z]+?)s?\s+ago$/;
const TIME = /^(?:(?:(\d{4})-(\d\d?)-(\d\d?)|(today|yesterday))(?:[t\s]+|$))?(?:(\d\d?)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?)?\s*(z|utc|gmt|[+-]\d\d(?::?\d\d)?)?$/;

/** A clock that is so far ahead of UTC. */
const ahead = (ms) => ({ fields: (at) => new Date(at + ms), time: (fields) => fields.getTime() - ms });

function zoneOf(text, clock) {
  if (!text) return clock;
  const [, sign, hours, minutes = "0"] = /^([+-])(\d\d):?(\d\d)?$/.exec(text) ?? [];
  return sign ? ahead((sign === "-" ? -1 : 1) * (hours * HOUR + minutes * MINUTE)) : UTC;
}

/** The fields of a day, so many days later, at a time of it; nothing where there is no such day or time. */
function fieldsOf([year, month, date], [hour, minute, second, ms]) {
  const fields = new Date(0);
  fields.setUTCFullYear(year, month, date);
  if (fields.getUTCMonth() !== month || hour > 23 || minute > 59 || second > 59) return null;
  fields.setUTCHours(hour, minute, second, ms);
  return fields;
}

/**
 * The time that a text means, in milliseconds since 1970; NaN where it means none. `clock` is meant where no zone is given. A time without a
 * day is of the day that is shown: behind `after` or before `before` where one of those is given, else in the window `from` to `to`, and as
 * near to `near` as can be.
 */
export function understand(text, { clock, now, from, to, near, after = null, before = null }) {
  const words = text.trim().toLowerCase();
  if (words === "now") return now;
  const [, count, unit] = AGO.exec(words) ?? [];
  if (unit) return UNITS[unit] ? bounded(now - count * UNITS[unit]) : NaN;
  const found = TIME.exec(words);
  if (!found || words === "") return NaN;
  const [, year, month, date, name, hour, minute, second, fraction, zone] = found;
  const reads = zoneOf(zone, clock);
  const time = [Number(hour ?? 0), Number(minute ?? 0), Number(second ?? 0), Math.floor(Number(`0.${fraction ?? 0}`) * 1000)];
  const dayAt = (at, later = 0) => {
    const fields = reads.fields(at);
    const day = new Date(0);
    day.setUTCFullYear(fields.getUTCFullYear(), fields.getUTCMonth(), fields.getUTCDate() + later);
    return [day.getUTCFullYear(), day.getUTCMonth(), day.getUTCDate()];
  };
  const at = (day) => {
    const fields = fieldsOf(day, time);
    return fields ? bounded(reads.time(fields)) : NaN;
  };
  if (year) return at([Number(year), month - 1, Number(date)]);
  if (name) return at(dayAt(now, name === "today" ? 0 : -1));
  // An hour alone may be anything.
  if (minute === undefined) return NaN;
  if (after !== null) return [0, 1].map((later) => at(dayAt(after, later))).find((each) => !(each <= after));
  if (before !== null) return [0, -1].map((later) => at(dayAt(before, later))).find((each) => !(each >= before));
  const days = [0, -1, 1].map((later) => at(dayAt(near, later)));
  const shown = days.filter((each) => each >= from && each <= to).sort((a, b) => Math.abs(a - near) - Math.abs(b - near));
  return shown[0] ?? days[0];
}

const bounded = (ms) => (ms >= FIRST && ms <= LAST ? ms : NaN);
