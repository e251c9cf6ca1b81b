// What the player shows on the timelines: where it is, and the stretch between in and out. The place can be dragged.

import { byId, make } from "./dom.js";
import { written } from "./zone.js";

/** The marks over all rows. */
export class Marks {
  /** `seek(at, isLast)` is called while the place is dragged, and once more at the end. */
  constructor(rows, view, seek) {
    Object.assign(this, { rows, view, dragged: null, marked: { at: null, from: null, to: null } });
    this.band = make("div", { class: "band", hidden: true });
    // Only its head takes the pointer: all else belongs to the rows.
    this.grip = make("i", { class: "grip", title: "Playback position; drag to seek" });
    this.place = make("div", { class: "playhead", hidden: true }, this.grip);
    byId("rows").append(this.band, this.place);
    this.grip.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      event.stopPropagation();
      this.grip.setPointerCapture(event.pointerId);
      this.dragged = this.marked.at;
    });
    this.grip.addEventListener("pointermove", (event) => {
      if (this.dragged === null) return;
      const box = this.track()?.getBoundingClientRect();
      if (!box) return;
      const share = Math.min(Math.max((event.clientX - box.left) / box.width, 0), 1);
      this.dragged = view.from + share * view.span;
      this.draw();
      seek(this.dragged, false);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.grip.addEventListener(end, () => {
        const at = this.dragged;
        this.dragged = null;
        if (at !== null) seek(at, true);
      });
    }
  }

  track() {
    return this.rows.all.find((row) => row.seen)?.track;
  }

  /** Shows the place and the stretch, each of which may be nothing. */
  show(marked) {
    this.marked = marked;
    this.draw();
  }

  draw() {
    const { view, marked } = this;
    const track = this.track();
    const at = this.dragged ?? marked.at;
    const [from, to] = [Math.max(marked.from ?? marked.to ?? Infinity, view.from), Math.min(marked.to ?? marked.from ?? -Infinity, view.to)];
    const isOpen = marked.from === null || marked.to === null;
    this.place.hidden = !track || at === null || at < view.from || at > view.to;
    this.band.hidden = !track || from > to;
    if (this.place.hidden && this.band.hidden) return;
    const [box, own] = [byId("rows").getBoundingClientRect(), track.getBoundingClientRect()];
    const x = (time) => own.left - box.left + ((time - view.from) / view.span) * own.width;
    if (!this.place.hidden) {
      this.place.style.transform = `translateX(${x(at)}px)`;
      this.place.dataset.at = written(at);
    }
    if (this.band.hidden) return;
    this.band.style.transform = `translateX(${x(from)}px)`;
    this.band.style.width = `${Math.max(1, x(to) - x(from))}px`;
    this.band.classList.toggle("open", isOpen);
  }
}
