// The hint beside the pointer: the time by both clocks and what is there; and where the pointer rests, what one has to ask for.

import { byId, fill, make } from "./dom.js";
import { explain, holeNear, reason } from "./holes.js";
import { MINUTE, SECOND, duration, parse } from "./time.js";
import { beside, stretch, written } from "./zone.js";

/** A pointer that rests for so long wants to know more. */
const REST = 120;

/** The hint. `reach(row)` says how many ms from a hole are meant to be on it. */
export class Hint {
  constructor(view, reach) {
    Object.assign(this, { view, reach, element: byId("tip"), timer: 0, asking: null });
  }

  hide() {
    this.element.hidden = true;
    this.drop();
  }

  drop() {
    clearTimeout(this.timer);
    this.asking?.abort();
  }

  show(row, at, { clientX, clientY }) {
    const { state, words } = row.at(at);
    this.draw(row, at, state, [words], clientX, clientY);
    this.drop();
    this.timer = setTimeout(async () => {
      this.asking = new AbortController();
      const more = await this.details(row, at, state, this.asking.signal).catch(() => null);
      if (more && !this.element.hidden) this.draw(row, at, more.state, more.words, clientX, clientY);
    }, REST);
  }

  /** The hole near to a time and why it is there, or the segment that covers it. */
  async details(row, at, state, signal) {
    const hole = state === "hole" ? await holeNear(row, at, this.reach(row), signal) : null;
    if (row.peer) return hole ? { state: "hole", words: [`hole of ${this.length(hole, at, row)}`] } : null;
    const found = await explain(row, hole ? (hole.from + hole.to) / 2 : at, signal);
    if (found.hole?.seconds) {
      const { start, end, seconds } = found.hole;
      const why = [reason(hole), hole?.detail].filter(Boolean).join(": ");
      return { state: "hole", words: [`hole of ${duration(seconds * 1000)}`, stretch(parse(start), parse(end), 1), why] };
    }
    if (!found.played) return null;
    const more = found.others.length ? `and ${found.others.length} more that cover it` : "";
    const { type, name, start, end } = found.played;
    return { state: type === "full" ? "full" : "partial", words: [`${type} segment of ${duration(parse(end) - parse(start))}`, name, more] };
  }

  /** How long a hole is, of which only a part was looked at. */
  length(hole, at, row) {
    const reach = this.reach(row);
    const isCut = hole.from <= at - reach + 1 || hole.to >= at + reach - 1;
    return `${isCut ? "at least " : ""}${duration(hole.to - hole.from)}`;
  }

  draw(row, at, state, words, x, y) {
    const { element } = this;
    const precision = this.view.span < 20 * MINUTE ? 1 : SECOND;
    const other = beside(at, precision);
    fill(element, make("strong", {}, written(at, precision)), other ? make("span", { class: "muted" }, other) : null,
      make("span", { class: `state ${state}` }, row.peer ? `${row.peer.name}: ${words[0]}` : words[0]),
      ...words.slice(1).filter(Boolean).map((line) => make("span", { class: "more" }, line)));
    element.dataset.state = state;
    element.hidden = false;
    const [width, height] = [element.offsetWidth, element.offsetHeight];
    const left = Math.max(8, Math.min(x + 14, window.innerWidth - width - 8));
    const below = y + 20 + height < window.innerHeight;
    element.style.transform = `translate(${left}px, ${below ? y + 20 : Math.max(8, y - height - 14)}px)`;
  }
}
