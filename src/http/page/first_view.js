// Which stretch is looked at where the address does not say: what is recorded now, or the last day that was.

import { DAY, HOUR, MINUTE, SECOND, hourStart } from "./time.js";
import { LONGEST } from "./view.js";

/** What is shown ends by itself where a directory is far ahead of the clock. */
const AHEAD = DAY;

/** The beginning. `known()` says what the node has. */
export class FirstView {
  constructor(rows, view, known) {
    Object.assign(this, { rows, view, known, first: null });
  }

  begin() {
    if (this.view.read(location.hash)) return;
    this.showLatest();
    this.first = `${this.view.from} ${this.view.to}`;
  }

  /** From the first segment to the last, as far as that is known, or else from the first hour to the last. */
  everything() {
    const latest = this.view.now() + AHEAD;
    const stretches = this.known().filter((stream) => stream.video).map((stream) => {
      const extent = this.rows.own.find((row) => row.stream.channel === stream.channel && row.stream.quality === stream.quality)?.timeline?.extent;
      return extent ?? { start: hourStart(stream.first_hour), end: hourStart(stream.last_hour) + 60 * MINUTE };
    });
    if (!stretches.length) return null;
    const to = Math.min(Math.max(...stretches.map(({ end }) => end)), latest);
    const earliest = Math.min(...stretches.map(({ start }) => start));
    // A directory of the year 0 is none that anybody wants to see all from.
    return { from: Math.min(Math.max(earliest, to - LONGEST * 0.98), to - SECOND), to };
  }

  showAll() {
    const all = this.everything();
    if (!all) return;
    const { from, to } = all;
    this.view.set(from - (to - from) * 0.01, to + (to - from) * 0.01);
  }

  showLatest() {
    const to = this.everything()?.to;
    if (to === undefined || this.view.now() - to < 2 * DAY) this.view.follow(7 * DAY);
    else this.view.set(to - DAY * 0.98, to + DAY * 0.02);
  }

  /** The names of directories may promise what no segment keeps: once it is known where the last one is, that is shown. */
  settle() {
    if (this.first === null) return;
    const { view } = this;
    const own = this.rows.own.filter((row) => row.seen);
    if (!own.length || own.some((row) => !row.timeline && !row.error)) return;
    const isUntouched = view.live ? view.span === 7 * DAY : this.first === `${view.from} ${view.to}`;
    if (own.some((row) => row.progress)) return;
    // Those that are not on the screen count by the names of their hours: what is shown does not depend on how far the page was scrolled.
    const isSeen = ({ channel, quality }) => own.some(({ stream }) => stream.channel === channel && stream.quality === quality);
    const unseen = this.known().filter((stream) => stream.video && !isSeen(stream));
    const extents = own.map((row) => row.timeline?.extent).filter(Boolean)
      .concat(unseen.map((stream) => ({ start: hourStart(stream.first_hour), end: hourStart(stream.last_hour) + HOUR })));
    this.first = null;
    const isEmpty = !extents.some(({ start, end }) => end > view.from && start < view.to);
    if (!isUntouched || !extents.length) return;
    const age = view.now() - Math.min(...extents.map(({ start }) => start));
    if (isEmpty) this.showLatest();
    // What is recorded since this morning would be a sliver of a week.
    else if (view.live && age < view.span / 2) view.follow(Math.max(age * 1.1, HOUR));
  }
}
