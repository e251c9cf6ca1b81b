// What is known of a time: the segment that is played, or the hole, why it is there, and who has what is missing.

import { get, path, query } from "./api.js";
import { byId, fill, make } from "./dom.js";
import { UNKNOWN, explain, holesBetween, reason } from "./holes.js";
import { bytes, duration, iso, parse } from "./time.js";
import { both, moment as written, stretch, stretchBeside } from "./zone.js";

/** A time on two lines, one for each clock. */
const moment = (text) => written(parse(text), 1, text);

const entry = (name, ...value) => [make("dt", {}, name), make("dd", {}, ...value)];

/** The panel beside the timelines. */
export class Panel {
  constructor(rows, actions) {
    Object.assign(this, { rows, actions, element: byId("panel"), turn: 0 });
  }

  get isOpen() {
    return !this.element.hidden;
  }

  close() {
    this.turn += 1;
    this.element.hidden = true;
    this.element.replaceChildren();
    this.shown = null;
  }

  /** Explains a time of a row; `hole` is what the list of holes says about it, where it is known, and `silent` why another node says nothing. */
  async open(row, at, hole = null, silent = null) {
    this.turn += 1;
    const { turn } = this;
    this.shown = { row, at, hole, silent };
    try {
      const found = await explain(row, at);
      const [from, to] = [parse(found.hole?.start ?? ""), parse(found.hole?.end ?? "")];
      const isHole = from < to;
      if (turn !== this.turn) return null;
      // The newest knowledge comes with the explanation; the list may have been asked for a while ago.
      const ledger = found.hole?.ledger ?? hole;
      this.draw(row, at, found, ledger);
      if (isHole) this.askPeers(row, from, to, turn);
      if (isHole) this.askReasons(row, from, to, turn);
      return found;
    } catch (error) {
      if (turn === this.turn) this.frame("Cannot be explained", row, make("p", { class: error.progress ? "muted" : "trouble" }, error.progress ?? error.message));
      return null;
    }
  }

  /** The same once more: another clock comes first. */
  again() {
    if (this.isOpen && this.shown) this.open(this.shown.row, this.shown.at, this.shown.hole, this.shown.silent);
  }

  frame(title, row, ...content) {
    const close = make("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.actions.close() }, "×");
    fill(this.element,
      make("header", {}, make("h2", { id: "panel-title", tabindex: "-1" }, title), close),
      make("p", { class: "muted where" }, `${row.stream.channel} / ${row.stream.quality}`),
      this.shown?.silent ? make("p", { class: "trouble" }, this.shown.silent) : null, ...content);
    this.element.hidden = false;
  }

  draw(row, at, found, ledger) {
    const list = found.hole ? this.ofHole(found.hole, ledger) : this.ofSegment(found);
    const others = found.others.map((other) => make("li", {}, segment(other.segment), make("span", { class: "muted" }, other.not_played_because)));
    const { start, end } = found.hole ?? found.played;
    const button = (name, work, ...rest) => make("button", { type: "button", onclick: work }, name, ...rest);
    const command = `gapless explain ${found.time.replace(/\.?0*Z$/, "Z")} --channel ${quoted(row.stream.channel)} --quality ${quoted(row.stream.quality)}`;
    this.frame(found.hole ? title(found.hole) : `${found.played.type} segment`, row,
      make("dl", {}, ...list),
      closed(found.was_missing),
      others.length ? [make("h3", {}, "Also there, not played"), make("ul", { class: "others" }, ...others)] : null,
      make("div", { class: "buttons" },
        start && end ? button("Zoom to it", () => this.actions.zoomTo(parse(start), parse(end))) : null,
        button("Previous hole", () => this.actions.next(row, parse(start ?? iso(at)), false)),
        button("Next hole", () => this.actions.next(row, parse(end ?? iso(at)), true))),
      make("p", { class: "command" }, make("code", {}, command)));
  }

  ofHole(hole, ledger) {
    const why = reason(ledger);
    const isWhole = Boolean(hole.start && hole.end);
    return [
      ...(isWhole ? entry("Why", why ? make("strong", { class: "reason" }, why) : make("span", { class: "muted" }, UNKNOWN),
        ledger?.detail ? make("span", { class: "detail" }, ledger.detail) : null,
        make("ul", { class: "others", id: "deleted-because" }),
        ledger?.reason_since ? make("span", { class: "detail" }, `since ${both(parse(ledger.reason_since))}`) : null) : []),
      ...(HAD.includes(ledger?.reason) && ledger.peers?.length ? entry("Available on", ledger.peers.join(", ")) : []),
      ...entry("From", ...(hole.start ? moment(hole.start) : ["nothing before it"])),
      ...entry("To", ...(hole.end ? moment(hole.end) : ["nothing after it yet"])),
      ...(ledger?.first_seen ? entry("First seen", ...moment(ledger.first_seen)) : []),
      ...entry("Before it", hole.before ? segment(hole.before) : "nothing"),
      ...entry("After it", hole.after ? segment(hole.after) : "nothing"),
      ...(this.rows.peers.length && hole.start && hole.end ? entry("Other nodes", make("ul", { class: "elsewhere", id: "elsewhere" }, make("li", { class: "muted" }, "asking…"))) : []),
    ];
  }

  ofSegment({ played }) {
    return [
      ...entry("Played", segment(played)),
      ...entry("From", ...moment(played.start)),
      ...entry("To", ...moment(played.end)),
      ...entry("Size", bytes(played.size)),
    ];
  }

  /** Why what is missing was deleted, where it was and that was said: the ledger may not have got that far. */
  async askReasons(row, from, to, turn) {
    const { channel, quality } = row.stream;
    const hours = [...new Set([iso(from), iso(to - 1)].map((time) => time.slice(0, 13)))];
    const pages = await Promise.all(hours.map((hour) => get(path("tombstones") + query({ channel, quality, hour })).catch(() => null)));
    const notes = pages.flatMap((page) => page?.tombstones ?? []).map(({ path: file, note }) => {
      const [, , hour, name] = file.split("/");
      return note && { ...note, start: parse(`${hour}:${name.split("-")[0]}Z`) };
    }).filter((note) => note && note.start >= from - 1 && note.start < to);
    const reasons = [...new Map(notes.map((note) => [note.reason, note])).values()];
    const list = byId("deleted-because");
    if (turn !== this.turn || !list) return;
    fill(list, ...reasons.map((note) => make("li", {}, make("strong", {}, note.reason), make("span", { class: "muted" }, `${both(parse(note.at))}, on ${note.node}`))));
  }

  /** Which other nodes have what is missing here. */
  async askPeers(row, from, to, turn) {
    const ask = async (peer) => {
      const name = make("strong", {}, peer.name);
      try {
        const holes = await holesBetween(row, from, to, undefined, peer.name);
        const inside = holes.reduce((sum, hole) => sum + Math.min(hole.to, to) - Math.max(hole.from, from), 0);
        // Before the first segment and after the last there are no holes, and nothing else either.
        const extent = this.rows.all.find((each) => each.peer?.name === peer.name && each.stream === row.stream)?.timeline?.extent;
        const outside = extent ? Math.max(0, extent.start - from) + Math.max(0, to - extent.end) : 0;
        const missing = Math.min(inside + outside, to - from);
        const words = missing < 1 ? " has all of it" : missing > to - from - 1 ? " lacks all of it, too" : ` misses ${duration(missing)} of it`;
        return make("li", { class: missing < 1 ? "has" : "" }, name, words);
      } catch (error) {
        return make("li", { class: "muted" }, name, ` cannot say: ${error.message ?? error}`);
      }
    };
    const lines = await Promise.all(this.rows.peers.filter((peer) => peer.speaks !== "fixed-part").map(ask));
    const list = byId("elsewhere");
    if (turn === this.turn && list) fill(list, ...lines);
  }
}

/** Reasons with which the ledger names the peers that have it; with others the sentence says who was asked, and who was not. */
const HAD = ["peer_has", "fetching"];

/** Holes that this time lay in, and that closed. */
function closed(holes) {
  if (!holes?.length) return null;
  const line = (hole) => make("li", {}, `${stretch(parse(hole.start), parse(hole.end))}, ${duration(hole.seconds * 1000)}`,
    make("span", { class: "muted" }, stretchBeside(parse(hole.start), parse(hole.end)) ?? ""),
    make("span", { class: "muted" }, `first seen ${both(parse(hole.first_seen))}, closed ${both(parse(hole.closed))}`),
    make("span", { class: "muted" }, by(hole.closed_by)));
  return [make("h3", {}, "Was missing"), make("ul", { class: "others", id: "was-missing" }, ...holes.map(line))];
}

const by = (whom) => (whom === undefined ? "it is no longer between segments" : whom === "recorder" ? "written by the recorder" : `fetched from ${whom}`);

const title = (hole) => (hole.seconds === null ? "No segment here" : `Hole of ${duration(hole.seconds * 1000)}`);

const segment = ({ name, hour, start, end, type, size }) =>
  make("span", { class: "segment", title: `${hour}/${name}` }, make("code", {}, name),
    make("span", { class: "muted" }, `${type}, ${duration(parse(end) - parse(start))}, ${bytes(size)}`));

/** As a shell takes it. */
const quoted = (text) => (/^[\w.@%+=:,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`);
