// The two clocks of the page: UTC, which archives are named by, and the one on the wall where the page is looked at. One of them comes first,
// as the switch says; the other stands beside it wherever it shows something else.

import { MINUTE, SECOND, iso } from "./time.js";
import { make } from "./dom.js";
import { change, onChange, setting } from "./settings.js";

const two = (number) => String(number).padStart(2, "0");

/** A clock: a Date whose UTC fields read as it does, the time at which it reads so, and its name. */
export const UTC = { fields: (ms) => new Date(ms), time: (fields) => fields.getTime(), name: () => "UTC" };
export const LOCAL = {
  fields: (ms) => new Date(ms - new Date(ms).getTimezoneOffset() * MINUTE),
  time(fields) {
    const date = new Date(2000, 0, 1);
    date.setFullYear(fields.getUTCFullYear(), fields.getUTCMonth(), fields.getUTCDate());
    date.setHours(fields.getUTCHours(), fields.getUTCMinutes(), fields.getUTCSeconds(), fields.getUTCMilliseconds());
    return date.getTime();
  },
  name(ms) {
    const parts = new Intl.DateTimeFormat("en-GB", { timeZoneName: "short" }).formatToParts(new Date(ms));
    return parts.find((part) => part.type === "timeZoneName")?.value ?? "local";
  },
};

/** The clock that comes first, and the other one; nothing where both show the same. */
export const first = () => (setting("clock") === "local" ? LOCAL : UTC);
export const second = (ms) => (new Date(ms).getTimezoneOffset() === 0 ? null : first() === UTC ? LOCAL : UTC);

/** The time of day in a Date's UTC fields, as precise as it makes sense where one pixel is so many ms. */
export function clockText(fields, precision) {
  const minutes = `${two(fields.getUTCHours())}:${two(fields.getUTCMinutes())}`;
  if (precision >= MINUTE) return minutes;
  const seconds = `${minutes}:${two(fields.getUTCSeconds())}`;
  return precision >= SECOND ? seconds : `${seconds}.${String(fields.getUTCMilliseconds()).padStart(3, "0")}`;
}

export const dayText = (fields) => `${String(fields.getUTCFullYear()).padStart(4, "0")}-${two(fields.getUTCMonth() + 1)}-${two(fields.getUTCDate())}`;

const day = (ms, clock) => dayText(clock.fields(ms));
const timeOfDay = (ms, precision, clock) => clockText(clock.fields(ms), precision);

/** A time by the clock that comes first, without its name. */
export const bare = (ms, precision = SECOND) => `${day(ms, first())} ${timeOfDay(ms, precision, first())}`;

/** The same with its name. */
export const written = (ms, precision = SECOND) => `${bare(ms, precision)} ${first().name(ms)}`;

/** A time by the other clock, without the day where that is the same; nothing where both show the same. */
export function beside(ms, precision = SECOND) {
  const clock = second(ms);
  if (!clock) return null;
  const days = day(ms, clock) === day(ms, first()) ? "" : `${day(ms, clock)} `;
  return `${days}${timeOfDay(ms, precision, clock)} ${clock.name(ms)}`;
}

/** A time by both clocks, in one line of text. */
export const both = (ms, precision = SECOND) => written(ms, precision) + (second(ms) ? ` (${beside(ms, precision)})` : "");

/** From when to when, by one clock; the second day only where it is another one. */
function between(from, to, precision, clock) {
  const days = day(from, clock) === day(to, clock) ? "" : `${day(to, clock)} `;
  return `${day(from, clock)} ${timeOfDay(from, precision, clock)} – ${days}${timeOfDay(to, precision, clock)} ${clock.name(to)}`;
}
export const stretch = (from, to, precision = SECOND) => between(from, to, precision, first());
export const stretchBeside = (from, to, precision = SECOND) => (second(to) ? between(from, to, precision, second(to)) : null);

/** Elements that say a time by both clocks. */
export const moment = (ms, precision = SECOND, exact = iso(ms)) => [
  make("time", { datetime: exact }, written(ms, precision)),
  second(ms) ? make("span", { class: "local" }, beside(ms, precision)) : null,
];

/** The time as ISO writes it, with the offset of the clock that comes first. */
export function isoText(ms) {
  if (first() === UTC || !second(ms)) return iso(ms);
  const minutes = -new Date(ms).getTimezoneOffset();
  const offset = `${minutes < 0 ? "-" : "+"}${two(Math.floor(Math.abs(minutes) / 60))}:${two(Math.abs(minutes) % 60)}`;
  return `${day(ms, LOCAL)}T${timeOfDay(ms, ms % SECOND === 0 ? SECOND : 1, LOCAL)}${offset}`;
}

/** Makes the switch; where clocks show UTC all the year there is nothing to choose. */
export function offerSwitch(element, changed) {
  const year = new Date().getFullYear();
  element.hidden = [0, 6].every((month) => new Date(year, month, 1).getTimezoneOffset() === 0);
  const where = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const button = (name, label, title) => make("button", { type: "button", title, "data-clock": name, onclick: () => change("clock", name) }, label);
  element.append(button("utc", "UTC", "UTC first, local time beside it"), button("local", "Local", `Local time (${where}) first, UTC beside it`));
  const show = () => {
    for (const each of element.children) each.setAttribute("aria-pressed", String(each.dataset.clock === setting("clock")));
  };
  onChange((name) => {
    if (name !== "clock") return;
    show();
    changed();
  });
  show();
}
