// Hides the segments of a stretch, here and on every node: shows which they are, wants a reason and the token for writing, and says what
// became of each.

import { Refused, get, post, query } from "./api.js";
import { byId, fill, keep, make, recall, say } from "./dom.js";
import { segmentsPath } from "./engine.js";
import { bytes, duration, iso, parse, utc } from "./time.js";

const KEPT = "gapless-write-token";
/** As many as the node takes in one request. */
const TOGETHER = 250;
/** More is a deletion that should not be made by a click. */
const MOST = 1000;

/** The dialog. */
export class Hide {
  /** `place()` says the row, and from when to when; `done()` is called when something was hidden. */
  constructor(place, done) {
    Object.assign(this, { place, done, dialog: byId("hide"), segments: [], turn: 0 });
    byId("cut-hide").addEventListener("click", () => this.open());
    byId("hide-close").addEventListener("click", () => this.dialog.close());
    byId("hide-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.hide();
    });
  }

  async open() {
    const { row, from, to } = this.place();
    if (!row || from === null || to === null) return;
    this.turn += 1;
    const { turn } = this;
    this.segments = [];
    byId("hide-token").value = recall("sessionStorage", KEPT) ?? "";
    byId("hide-go").disabled = true;
    say(byId("hide-where"), `${row.name}, ${utc(from, 1)} – ${utc(to, 1)} UTC`);
    say(byId("hide-note"), "Asking which segments these are…");
    fill(byId("hide-list"));
    if (!this.dialog.open) this.dialog.showModal();
    byId("hide-reason").focus();
    try {
      const values = { start: iso(from), end: iso(to), limit: MOST };
      const page = await get(segmentsPath(row.stream) + query(values));
      if (turn === this.turn) this.show(row, page.segments, Boolean(page.next));
    } catch (error) {
      if (turn === this.turn) say(byId("hide-note"), error instanceof Refused ? error.message : "This node does not answer.");
    }
  }

  show(row, segments, more) {
    const path = ({ hour, name }) => `${row.stream.channel}/${row.stream.quality}/${hour}/${name}`;
    this.segments = segments.map((segment) => ({ ...segment, path: path(segment) }));
    this.lines = new Map(this.segments.map((segment) => [segment.path, this.line(segment)]));
    fill(byId("hide-list"), ...this.lines.values());
    const size = segments.reduce((sum, segment) => sum + segment.size, 0);
    const count = `${segments.length} ${segments.length === 1 ? "segment" : "segments"}, ${bytes(size)}.`;
    const words = more ? `More than ${segments.length} segments: choose a shorter stretch.` : segments.length ? count : "No segment lies in this stretch.";
    say(byId("hide-note"), words);
    say(byId("hide-go"), segments.length === 1 ? "Hide it everywhere" : `Hide ${segments.length} everywhere`);
    byId("hide-go").disabled = more || segments.length === 0;
  }

  line({ name, start, duration: seconds, size, type }) {
    return make("li", {}, make("span", { class: "when" }, utc(parse(start), 1)), make("span", { class: "muted" }, `${duration(seconds * 1000)}, ${type}, ${bytes(size)}`),
      make("code", { title: name }, name), make("span", { class: "outcome" }));
  }

  async hide() {
    const { turn } = this;
    const token = byId("hide-token").value.trim();
    const why = byId("hide-reason").value.trim();
    if (!token || !why || !this.segments.length) return;
    byId("hide-go").disabled = true;
    say(byId("hide-note"), "Hiding…");
    const total = { new: 0, there: 0, refused: 0 };
    try {
      for (let at = 0; at < this.segments.length; at += TOGETHER) {
        const paths = this.segments.slice(at, at + TOGETHER).map((segment) => segment.path);
        const answer = await post("/api/v1/tombstones", { paths, reason: why }, token);
        keep("sessionStorage", KEPT, token);
        for (const what of Object.keys(total)) total[what] += answer[what];
        if (turn === this.turn) for (const each of answer.paths) this.outcome(each);
      }
      const parts = [`${total.new} hidden`, total.there ? `${total.there} were hidden already` : null, total.refused ? `${total.refused} refused` : null];
      say(byId("hide-note"), `${parts.filter(Boolean).join(", ")}. Other nodes take it over with their next round.`);
      byId("hide-reason").value = "";
    } catch (error) {
      const isWrong = error.status === 401 || error.status === 403;
      if (isWrong) keep("sessionStorage", KEPT, "");
      say(byId("hide-note"), isWrong ? "That is no token for writing here: try another one." : error.status ? error.message : "This node does not answer. Try again: what is done already changes nothing.");
      byId("hide-go").disabled = false;
    }
    if (total.new > 0) this.done();
  }

  outcome({ path, outcome, why }) {
    const line = this.lines.get(path);
    if (!line) return;
    line.dataset.outcome = outcome;
    say(line.lastElementChild, outcome === "new" ? "hidden" : outcome === "there" ? "was hidden" : `refused: ${why ?? ""}`);
  }
}
