// The mark: the time and the row that keys are about, where it is drawn, and what a screen reader hears of it.

import { byId } from "./dom.js";
import { SECOND } from "./time.js";
import { written } from "./zone.js";

/** A time in a row, each of which may be none. */
export class Cursor {
  constructor(rows, view) {
    Object.assign(this, { rows, view, at: null, row: null });
  }

  /** The time, or the middle of what is shown. */
  get near() {
    return this.at ?? (this.view.from + this.view.to) / 2;
  }

  draw() {
    const { view, at } = this;
    const cross = byId("cross");
    const track = this.row?.track ?? this.rows.all.find((row) => row.seen)?.track;
    cross.hidden = !track || at === null || at < view.from || at > view.to;
    if (cross.hidden) return;
    const [box, own] = [byId("rows").getBoundingClientRect(), track.getBoundingClientRect()];
    cross.style.transform = `translateX(${own.left - box.left + ((at - view.from) / view.span) * own.width}px)`;
  }

  put(at) {
    this.at = at;
    this.draw();
  }

  /** Moves within what is shown. */
  move(by) {
    this.put(Math.min(Math.max(this.near + by, this.view.from), this.view.to));
  }

  choose(row) {
    this.row?.element.classList.remove("current");
    this.row = row;
    row?.element.classList.add("current");
    if (row && (this.at === null || this.at < this.view.from || this.at > this.view.to)) this.at = (this.view.from + this.view.to) / 2;
    this.say();
    this.draw();
  }

  /** What a slider says: the time at the mark, and what is there. */
  say() {
    const { view, at, row } = this;
    if (at === null || !row) return;
    row.track.setAttribute("aria-valuemin", String(Math.round(view.from / 1000)));
    row.track.setAttribute("aria-valuemax", String(Math.round(view.to / 1000)));
    row.track.setAttribute("aria-valuenow", String(Math.round(at / 1000)));
    row.track.setAttribute("aria-valuetext", `${written(at, SECOND)}, ${row.at(at).words}`);
  }

  /** Goes to the row above or below, of those that are shown. */
  toRow(by) {
    const all = this.rows.all.filter((row) => row.track.offsetParent);
    all[Math.min(Math.max(all.indexOf(this.row) + by, 0), all.length - 1)]?.track.focus();
  }
}
