// Which rows have something missing in what is shown, of all rows and not only of those on the screen: one pixel of each is asked for, a few
// at a time, and only while somebody wants to see rows with holes alone.

import { get, path, query } from "./api.js";
import { prepared } from "./draw.js";
import { iso } from "./time.js";

/** Questions at a time: a browser has six lines to a node, and rows on the screen come first. */
const TOGETHER = 3;
/** A stretch that has moved by less than this share of itself has the same holes, but for what a recorder has just written. */
const NEAR = 0.02;
/** While a recorder writes, every row changes all the time; each is asked about no more often. */
const AGE = 30000;

/** What is known of rows. */
export class Survey {
  /** `found` is called whenever something has become known. */
  constructor(view, found) {
    Object.assign(this, { view, found, known: new WeakMap(), turn: 0, left: 0 });
  }

  /** Whether a row has something missing in what is shown; nothing where that is not known yet. */
  hasHole(row) {
    return row.hasHole ?? (this.isOfView(this.known.get(row)) ? this.known.get(row).isMissing : null);
  }

  isOfView(known) {
    const { view } = this;
    const near = view.span * NEAR;
    return Boolean(known) && Math.abs(known.from - view.from) <= near && Math.abs(known.to - view.to) <= near;
  }

  isCurrent(row) {
    const known = this.known.get(row);
    if (row.hasHole !== null) return true;
    return this.isOfView(known) && (known.wanted === row.wanted || performance.now() - known.when < AGE);
  }

  stop() {
    this.turn += 1;
    this.left = 0;
  }

  /** Asks about those of these rows that nothing is known of; an earlier round is given up. */
  async ask(rows) {
    this.stop();
    const { turn, view } = this;
    const { from, to } = view;
    const left = rows.filter((row) => !this.isCurrent(row));
    this.left = left.length;
    const work = async () => {
      for (let row = left.shift(); row && turn === this.turn; row = left.shift()) {
        const { wanted } = row;
        const address = path("timeline", row.stream.channel, row.stream.quality) + query({ from: iso(from), to: iso(to), pixels: 1 });
        const answer = await get(address).catch(() => null);
        if (turn !== this.turn) return;
        this.left -= 1;
        if (!answer) continue;
        this.known.set(row, { from, to, wanted, when: performance.now(), isMissing: prepared(answer).runs.some((run) => run.missing > 0) });
        this.found();
      }
    };
    await Promise.all(Array.from({ length: TOGETHER }, work));
    if (turn === this.turn) this.found();
  }
}
