// The axis that all rows share: the clock that comes first, and below it the other one, where that shows something else.

import { sized } from "./draw.js";
import { context as where, ticks } from "./ticks.js";
import { DAY } from "./time.js";
import { clockText, first, second } from "./zone.js";

/** Labels need so many pixels of the page. */
const ROOM = 68;

/** Draws the axis of a window; says how far its ticks are from each other. */
export function drawAxis(canvas, view) {
  const { context, width, height, scale } = sized(canvas);
  const style = getComputedStyle(document.documentElement);
  const [ink, muted, line] = ["--ink", "--muted", "--line"].map((name) => style.getPropertyValue(name).trim());
  const family = getComputedStyle(document.body).fontFamily;
  const most = Math.max(2, Math.floor(canvas.clientWidth / ROOM));
  const clock = first();
  const { step, list } = ticks(view.from, view.to, most, clock);
  const other = step < DAY ? second(view.to) : null;
  const x = (at) => ((at - view.from) / view.span) * width;
  context.clearRect(0, 0, width, height);
  context.textBaseline = "alphabetic";
  const [upper, middle, lower] = [13, 29, 43].map((each) => each * scale);
  const widthOf = (text, weight) => {
    context.font = `${weight} ${11 * scale}px ${family}`;
    return context.measureText(text).width;
  };
  const write = (text, at, y, colour, weight = 400) => {
    const wide = widthOf(text, weight);
    context.fillStyle = colour;
    const left = Math.min(Math.max(at + 4 * scale, 0), width - wide);
    context.fillText(text, left, y);
    return left + wide;
  };
  context.fillStyle = line;
  for (const tick of list) {
    const left = Math.round(x(tick.at));
    context.fillRect(left, tick.large ? 0 : 18 * scale, Math.max(1, Math.round(scale)), height);
  }
  // Where a day begins so near the edge that only one label has room, it is that of the day that fills the view.
  const atEdge = where(view.from, step, clock);
  const large = list.find((tick) => tick.large);
  const isCramped = large && x(large.at) < widthOf(atEdge, 600) + 8 * scale;
  let end = isCramped
    ? write(where(large.at, step, clock), x(large.at), upper, ink, 600)
    : write(atEdge, -4 * scale, upper, ink, 600);
  let behind = 0;
  for (const tick of list) {
    const left = x(tick.at);
    if (tick.large && left > end + 8 * scale) end = write(tick.label, left, upper, ink, 600);
    if (left < behind || left > width - 20 * scale) continue;
    behind = write(tick.large ? "00:00" : tick.label, left, middle, tick.large ? ink : muted, tick.large ? 600 : 400) + 6 * scale;
    if (other) write(clockText(other.fields(tick.at), step), left, lower, muted);
  }
  return step;
}
