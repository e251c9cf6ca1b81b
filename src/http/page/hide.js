// Hides the segments of a stretch, here and on every node: shows which they are and which of the same time it does not hide, wants a reason and
// the token for writing, and says what became of each.

import { Refused, get, mayNotWrite, post, query } from "./api.js";
import { byId, fill, keep, make, recall, say } from "./dom.js";
import { segmentsPath } from "./engine.js";
import { DAY, HOUR, MINUTE, bytes, counted, duration, iso, parse } from "./time.js";
import { stretch, stretchBeside, written } from "./zone.js";

const KEPT = "gapless-write-token";
/** As many as the node takes in one request. */
const TOGETHER = 250;
/** More is a deletion that should not be made by a click. */
const MOST = 1000;
/** A batch of chat messages says in its name when it starts, and lasts so long. */
const BATCH = MINUTE;
const BATCH_NAME = /^(\d\d:\d\d(?:\.\d+)?)-.*\.json$/;

const isChat = (part) => !part.stream.video;
/** Files of a quality, as words. */
const files = (part) => counted(part.segments.length, isChat(part) ? "batch" : "segment", isChat(part) ? "batches" : "segments");

/** The batches of chat that overlap a stretch: the list of segments has video alone. */
async function batches(stream, from, to) {
  const all = [];
  for (let hour = Math.floor((from - BATCH) / HOUR) * HOUR; hour < to; hour += HOUR) {
    if (all.length > MOST || hour - from > DAY) return { segments: all, next: hour };
    const name = iso(hour).slice(0, 13);
    const names = await get(`/files/${[stream.channel, stream.quality, name].map(encodeURIComponent).join("/")}`);
    for (const file of names) {
      const start = `${name}:${BATCH_NAME.exec(file)?.[1]}Z`;
      const at = parse(start);
      if (at + BATCH > from && at < to) all.push({ hour: name, name: file, start });
    }
  }
  return { segments: all, next: null };
}

/** The dialog. */
export class Hide {
  /** `place()` says the row, from when to when, and what streams there are; `done()` is called when something was hidden. */
  constructor(place, done) {
    Object.assign(this, { place, done, dialog: byId("hide"), parts: [], lines: new Map(), turn: 0 });
    byId("cut-hide").addEventListener("click", () => this.open());
    byId("hide-close").addEventListener("click", () => this.dialog.close());
    byId("hide-all").addEventListener("click", () => {
      for (const part of this.parts) part.box.checked = part.segments.length > 0;
      this.show();
    });
    byId("hide-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.hide();
    });
  }

  note(words, isTrouble = false) {
    say(byId("hide-note"), words);
    byId("hide-note").className = isTrouble ? "trouble" : "";
  }

  /** The segments that are to be hidden. */
  get chosen() {
    return this.parts.filter((part) => part.box.checked && part.segments.length > 0);
  }

  async open() {
    const { row, from, to, streams } = this.place();
    if (!row || from === null || to === null) return;
    this.turn += 1;
    const { turn } = this;
    this.parts = [];
    this.lines.clear();
    byId("hide-token").value = recall("sessionStorage", KEPT) ?? "";
    byId("hide-go").disabled = true;
    fill(byId("hide-where"), `${row.stream.channel}, ${stretch(from, to, 1)}`, make("span", { class: "local" }, stretchBeside(from, to, 1) ?? ""));
    this.note("Loading segments…");
    for (const id of ["hide-list", "hide-parts"]) fill(byId(id));
    for (const id of ["hide-others", "hide-all"]) byId(id).hidden = true;
    if (!this.dialog.open) this.dialog.showModal();
    byId("hide-reason").focus();
    const alike = streams.filter((stream) => stream.channel === row.stream.channel && stream.quality !== row.stream.quality);
    const parts = await Promise.all([row.stream, ...alike].map((stream) => this.ask(stream, from, to)));
    if (turn !== this.turn) return;
    if (parts[0].error) this.note(parts[0].error, true);
    else this.offer(parts);
  }

  /** What of a quality lies in the stretch. */
  async ask(stream, from, to) {
    try {
      const page = stream.video ? await get(segmentsPath(stream) + query({ start: iso(from), end: iso(to), limit: MOST })) : await batches(stream, from, to);
      const segments = page.segments.map((segment) => ({ ...segment, path: `${stream.channel}/${stream.quality}/${segment.hour}/${segment.name}` }));
      return { stream, segments, more: Boolean(page.next), error: null };
    } catch (error) {
      return { stream, segments: [], more: false, error: error instanceof Refused ? error.message : "No answer from this node." };
    }
  }

  /** The quality that is played is chosen; the others of the same time are for whoever looks to choose. */
  offer(parts) {
    this.parts = parts.map((part, at) => ({ ...part, box: make("input", { type: "checkbox", checked: at === 0 && part.segments.length > 0, disabled: part.segments.length === 0, onchange: () => this.show() }) }));
    const size = (part) => (isChat(part) ? "" : `, ${bytes(part.segments.reduce((sum, segment) => sum + segment.size, 0))}`);
    const words = (part) => part.error ?? (part.segments.length ? `${part.more ? "more than " : ""}${files(part)}${size(part)}` : "nothing in this stretch");
    fill(byId("hide-parts"), ...this.parts.map((part) => make("label", { class: "check" }, part.box, make("strong", {}, part.stream.quality), make("span", { class: "muted" }, words(part)))));
    this.show();
  }

  show() {
    const { chosen } = this;
    const left = this.parts.filter((part) => !part.box.checked && part.segments.length > 0);
    this.lines = new Map(chosen.flatMap((part) => part.segments.map((segment) => [segment.path, this.line(part, segment)])));
    fill(byId("hide-list"), ...this.lines.values());
    const names = left.map((part) => part.stream.quality).join(", ");
    say(byId("hide-others"), left.length ? `Not hidden: ${names}. The same time stays visible and playable there.` : "");
    for (const id of ["hide-others", "hide-all"]) byId(id).hidden = left.length === 0;
    const count = this.lines.size;
    const isTooMuch = count > MOST || chosen.some((part) => part.more);
    if (isTooMuch) this.note(`More than ${counted(MOST, "segment")}: choose a shorter stretch or fewer qualities.`, true);
    else this.note(count ? `${chosen.map((part) => `${part.stream.quality}: ${files(part)}`).join("; ")}.` : this.parts[0].segments.length || left.length ? "Nothing is chosen." : "No segments in this stretch.");
    say(byId("hide-go"), count === 1 ? "Hide it everywhere" : `Hide ${count} everywhere`);
    byId("hide-go").disabled = isTooMuch || count === 0;
  }

  line(part, { name, start, duration: seconds, size, type }) {
    const what = isChat(part) ? part.stream.quality : `${part.stream.quality}, ${duration(seconds * 1000)}, ${type}, ${bytes(size)}`;
    return make("li", {}, make("span", { class: "when" }, written(parse(start), 1)), make("span", { class: "muted" }, what),
      make("code", { title: name }, name), make("span", { class: "outcome" }));
  }

  async hide() {
    const { turn, chosen } = this;
    const token = byId("hide-token").value.trim();
    const why = byId("hide-reason").value.trim();
    if (!token || !why || !chosen.length) return;
    byId("hide-go").disabled = true;
    this.note("Hiding…");
    const said = [];
    let [isNew, isRefused] = [false, false];
    try {
      // One quality after the other, so that it is clear of each what became of it.
      for (const part of chosen) {
        const total = await this.hidePart(part, why, token, turn);
        const words = [`${total.new} hidden`, total.there ? `${total.there} hidden before` : null, total.refused ? `${total.refused} refused` : null];
        said.push(`${part.stream.quality}: ${words.filter(Boolean).join(", ")}`);
        isNew ||= total.new > 0;
        isRefused ||= total.refused > 0;
      }
      this.note(`${said.join("; ")}. Other nodes follow with their next round.`, isRefused);
      byId("hide-reason").value = "";
    } catch (error) {
      this.note([...said, this.why(error)].join("; "), true);
      byId("hide-go").disabled = false;
    }
    if (isNew) this.done();
  }

  async hidePart(part, reason, token, turn) {
    const total = { new: 0, there: 0, refused: 0 };
    for (let at = 0; at < part.segments.length; at += TOGETHER) {
      const paths = part.segments.slice(at, at + TOGETHER).map((segment) => segment.path);
      const answer = await post("/api/v1/tombstones", { paths, reason }, token);
      keep("sessionStorage", KEPT, token);
      for (const what of Object.keys(total)) total[what] += answer[what];
      if (turn === this.turn) for (const each of answer.paths) this.outcome(each);
    }
    return total;
  }

  /** Why it was not done, and which token would do. */
  why(error) {
    const token = mayNotWrite(error);
    if (token) keep("sessionStorage", KEPT, "");
    return token ?? (error.status ? error.message : "No answer from this node. Try again: repeating what is done changes nothing.");
  }

  outcome({ path, outcome, why }) {
    const line = this.lines.get(path);
    if (!line) return;
    line.dataset.outcome = outcome;
    say(line.lastElementChild, outcome === "new" ? "hidden" : outcome === "there" ? "hidden before" : `refused: ${why ?? ""}`);
  }
}
