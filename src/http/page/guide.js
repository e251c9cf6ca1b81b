// Leads to a hole or a time and has it explained: from the timelines, from the list, and from one hole to the next.

import { byId, say } from "./dom.js";
import { holeNear, nextHole } from "./holes.js";
import { written } from "./zone.js";

const middle = (hole) => (hole.from + hole.to) / 2;

/** Moves the mark and what is shown, and opens the panel. */
export class Guide {
  constructor(rows, view, cursor, panel, draw) {
    // The latest wish to see something explained: what an earlier one led to comes too late.
    Object.assign(this, { rows, view, cursor, panel, draw, wish: 0 });
  }

  /** The row of this node that says the same as this one. */
  own(row) {
    return row.peer ? this.rows.own.find((each) => each.stream === row.stream) : row;
  }

  close() {
    this.wish += 1;
    this.panel.close();
    this.cursor.row?.track.focus();
  }

  async explain(row, at, near, focus = false) {
    this.cursor.put(at);
    const own = this.own(row);
    const mine = (this.wish += 1);
    const hole = own ? await holeNear(own, at, near).catch(() => null) : null;
    if (!own || mine !== this.wish) return;
    // A line is too short for why another node says nothing.
    const silent = row.peer && (row.mute ?? row.error);
    await this.panel.open(own, hole ? middle(hole) : at, hole, silent ? `${row.peer.name}: ${silent}` : null);
    if (focus) byId("panel-title")?.focus();
  }

  show(row, hole) {
    this.cursor.choose(row);
    this.cursor.at = middle(hole);
    this.view.reveal(hole.from, hole.to);
    this.draw();
    this.cursor.say();
    return this.panel.open(row, this.cursor.at, hole);
  }

  open(hole) {
    this.wish += 1;
    this.show(hole.row, hole).then(() => byId("panel-title")?.focus());
  }

  async next(row, at, forward) {
    const own = this.own(row ?? this.cursor.row ?? this.rows.own[0]);
    if (!own) return;
    const mine = (this.wish += 1);
    const hole = await nextHole(own, at, forward).catch(() => null);
    if (mine !== this.wish) return;
    if (hole) await this.show(own, hole);
    else say(byId("said"), `No hole ${forward ? "after" : "before"} ${written(at)} in ${own.name}.`);
  }
}
