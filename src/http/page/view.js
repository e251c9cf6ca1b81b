// Which stretch of time is shown, for all rows together, and the address that says so.

import { DAY, FIRST, LAST, YEAR, iso, parse } from "./time.js";

/** Nobody looks at less or at more than this. */
const SHORTEST = 2000;
export const LONGEST = 60 * YEAR;

/** The stretch that is shown. Whoever wants to know of changes subscribes. */
export class View {
  constructor(now) {
    /** The node's clock. */
    this.now = now;
    this.to = now();
    this.from = this.to - 7 * DAY;
    /** Whether the end follows the present. */
    this.live = false;
    this.listeners = [];
  }

  get span() {
    return this.to - this.from;
  }

  subscribe(listener) {
    this.listeners.push(listener);
  }

  /** Shows another stretch; what follows the present no longer does, unless it is said. */
  set(from, to, live = false) {
    // Whatever was told, what is no stretch of time is not shown.
    if (!Number.isFinite(from) || !Number.isFinite(to)) return;
    const span = Math.min(Math.max(to - from, SHORTEST), LONGEST);
    const middle = (from + to) / 2;
    const latest = Math.min(this.now() + LONGEST / 2, LAST);
    this.to = Math.max(Math.min(middle + span / 2, latest), FIRST + span);
    this.from = this.to - span;
    this.live = live;
    for (const listener of this.listeners) listener();
  }

  /** Moves by a share of what is shown. */
  pan(share) {
    const by = share * this.span;
    this.set(this.from + by, this.to + by);
  }

  /** Zooms so that `at` stays where it is. */
  zoom(factor, at) {
    if (this.live) {
      const span = this.span * factor;
      this.follow(Math.min(Math.max(span, SHORTEST), LONGEST));
      return;
    }
    const span = Math.min(Math.max(this.span * factor, SHORTEST), LONGEST);
    const from = at - ((at - this.from) / this.span) * span;
    this.set(from, from + span);
  }

  /** Shows the last so many ms, and goes on with the present. */
  follow(span) {
    const now = this.now();
    // A little room, so that what arrives is seen to arrive.
    this.set(now - span * 0.97, now + span * 0.03, true);
  }

  /** The present has gone on. */
  tick() {
    if (this.live) this.follow(this.span);
  }

  /** Puts a time in the middle, unless it is well within. */
  reveal(at, until = at) {
    const margin = this.span * 0.1;
    const span = Math.max(this.span, (until - at) * 1.5);
    if (at < this.from + margin || until > this.to - margin || span !== this.span) {
      const middle = (at + until) / 2;
      this.set(middle - span / 2, middle + span / 2);
    }
  }

  /** Reads the address; false if it does not say. */
  read(hash) {
    const values = new URLSearchParams(hash.replace(/^#/, ""));
    const live = Number(values.get("live"));
    if (live > 0 && live * 1000 <= LONGEST) {
      this.follow(Math.max(live * 1000, SHORTEST));
      return true;
    }
    const [from, to] = [parse(values.get("from") ?? ""), parse(values.get("to") ?? "")];
    if (!(from < to)) return false;
    this.set(from, to);
    return true;
  }

  /** What the address is to say. */
  hash() {
    if (this.live) return `#live=${Math.round(this.span / 1000)}`;
    return `#from=${iso(this.from)}&to=${iso(this.to)}`;
  }
}
