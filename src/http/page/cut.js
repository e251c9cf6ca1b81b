// The stretch between in and out: marked or typed, checked for holes, and downloaded.

import { hasToken, refusal, send } from "./api.js";
import { afterwards, byId, make, say } from "./dom.js";
import { cutAddress } from "./engine.js";
import { holesBetween } from "./holes.js";
import { change, setting } from "./settings.js";
import { duration, iso, parse } from "./time.js";
import { understand } from "./typed.js";
import { UTC, both, first, isoText, stretch } from "./zone.js";

/** Holes that are named; the rest is counted. */
const MOST_NAMED = 5;

/** In and out, and what is done with what lies between. */
export class Cut {
  /** `place()` says the row, the time of the picture and what is shown; `changed()` is called when in or out is another. */
  constructor(place, changed) {
    Object.assign(this, { place, changed, from: null, to: null, turn: 0, wrong: {} });
    this.check = afterwards(250, () => this.lookForHoles());
    for (const [side, id] of [["from", "cut-from"], ["to", "cut-to"]]) {
      byId(id).addEventListener("change", (event) => this.type(side, event.target));
    }
    byId("cut-in").addEventListener("click", () => this.mark("from"));
    byId("cut-out").addEventListener("click", () => this.mark("to"));
    byId("cut-clear").addEventListener("click", () => this.set(null, null));
    byId("cut-download").addEventListener("click", () => this.download());
    byId("cut-type").value = setting("cut");
    byId("cut-type").addEventListener("change", (event) => {
      change("cut", event.target.value);
      this.draw();
    });
  }

  /** Whether there is a stretch. */
  get isWhole() {
    return this.from !== null && this.to !== null && this.from < this.to;
  }

  /** Puts in or out where the picture is. */
  mark(side) {
    const { time } = this.place();
    if (time === null) return;
    const at = Math.round(time);
    // One that would turn the stretch around begins a new one.
    if (side === "from") this.set(at, this.to !== null && this.to <= at ? null : this.to);
    else this.set(this.from !== null && this.from >= at ? null : this.from, at);
  }

  /** What was typed stays where it is until it is understood; then the whole time stands there, and what it was taken for is said. */
  type(side, input) {
    const text = input.value.trim();
    const { time, view } = this.place();
    const other = side === "from" ? { before: this.to } : { after: this.from };
    const at = text === "" ? null : understand(text, { clock: first(), now: view.now(), from: view.from, to: view.to, near: time ?? (view.from + view.to) / 2, ...other });
    const isWrong = Number.isNaN(at);
    this.wrong[side] = isWrong ? text : null;
    const ends = { from: this.from, to: this.to, [side]: isWrong ? null : at };
    this.set(ends.from, ends.to, this.wrong);
    if (isWrong) this.note(`“${text}” is not understood as a time. ${expected(view.now())}`, true);
    else if (at !== null) this.note(`${side === "from" ? "In" : "Out"} is ${both(at, 1)}. ${this.summary()}`, this.isTurned);
  }

  set(from, to, wrong = {}) {
    Object.assign(this, { from, to, wrong, holes: null });
    byId("cut-holes").checked = false;
    this.draw();
    this.check();
    this.changed();
  }

  get isTurned() {
    return this.from !== null && this.to !== null && !this.isWhole;
  }

  note(words, isTrouble = false) {
    const note = byId("cut-note");
    say(note, words);
    note.className = isTrouble ? "trouble" : "muted";
  }

  /** How long the stretch is and what is missing in it. */
  summary() {
    if (this.isTurned) return "Out must be after in.";
    if (!this.isWhole) return this.from === null && this.to === null ? "Mark in and out to cut." : `Now mark ${this.from === null ? "in" : "out"}.`;
    const missing = (this.holes ?? []).reduce((sum, hole) => sum + hole.to - hole.from, 0);
    const holes = this.holes?.length ? `, with ${this.holes.length === 1 ? "a hole" : `${this.holes.length} holes`} of ${duration(missing)}` : "";
    return `${duration(this.to - this.from)}${holes}.`;
  }

  draw() {
    for (const [side, id, at] of [["from", "cut-from", this.from], ["to", "cut-to", this.to]]) {
      const field = byId(id);
      const text = this.wrong[side] ?? (at === null ? "" : isoText(at));
      if (field.value !== text) field.value = text;
      field.title = this.wrong[side] || at === null ? expected(Date.now()) : both(at, 1);
      field.setAttribute("aria-invalid", String(Boolean(this.wrong[side])));
      field.setAttribute("aria-label", `${side === "from" ? "In" : "Out"}, ${first().name(at ?? Date.now())}`);
    }
    for (const id of ["cut-download", "cut-hide"]) byId(id).disabled = !this.isWhole;
    byId("cut-allow").hidden = !this.holes?.length;
    this.note(this.summary(), this.isTurned);
  }

  async lookForHoles() {
    this.turn += 1;
    const { turn } = this;
    const { row } = this.place();
    if (!this.isWhole || !row) return;
    const before = this.summary();
    const holes = await holesBetween(row, this.from, this.to).catch(() => null);
    if (turn !== this.turn) return;
    this.holes = holes;
    byId("cut-allow").hidden = !holes?.length;
    // What else the note says, such as what a typed time was taken for, stays.
    const note = byId("cut-note");
    if (note.textContent.endsWith(before)) this.note(note.textContent.slice(0, -before.length) + this.summary());
  }

  /** What the stretch is called as a file. */
  name(stream, ending) {
    const plain = (text) => text.replaceAll(/[^\p{L}\p{N}._-]+/gu, "_");
    const time = iso(this.from).slice(0, 19).replaceAll(":", "-");
    return `${plain(stream.channel)}-${plain(stream.quality)}-${time}.${ending}`;
  }

  /** The address of the piece. */
  address(stream, ending = "ts") {
    const type = byId("cut-type").value;
    const allowed = byId("cut-holes").checked ? { allow_holes: "true" } : {};
    return cutAddress(stream, { start: iso(this.from), end: iso(this.to), type, ...allowed }, ending);
  }

  /** Asks for the piece, and says where it was found: segments that are sent as they are may be in MP4. */
  async ask(stream, method) {
    const address = this.address(stream);
    const isRough = byId("cut-type").value === "rough";
    const first = { address, response: await send(address, undefined, method) };
    if (!isRough || first.response.status !== 422) return { ...first, ending: byId("cut-type").value === "mp4" ? "mp4" : "ts" };
    const other = this.address(stream, "mp4");
    return { address: other, response: await send(other, undefined, method), ending: "mp4" };
  }

  /**
   * Saves the piece. The browser fetches it by itself, as large as it may be; where reading wants a token it cannot, and the page fetches
   * it and hands it over.
   */
  async download() {
    const { row } = this.place();
    if (!row || !this.isWhole) return;
    const button = byId("cut-download");
    button.disabled = true;
    this.note("Requesting…");
    try {
      if (hasToken()) {
        const { response, ending } = await this.ask(row.stream);
        if (!response.ok) throw await refusal(response);
        const held = URL.createObjectURL(await response.blob());
        save(held, this.name(row.stream, ending));
        setTimeout(() => URL.revokeObjectURL(held), 60000);
      } else {
        const { address, response, ending } = await this.ask(row.stream, "HEAD");
        if (!response.ok) await whyNot(address);
        save(address, this.name(row.stream, ending));
      }
      this.note("The download has begun.");
    } catch (error) {
      this.tell(error);
    }
    button.disabled = !this.isWhole;
  }

  /** Why there is no piece. */
  tell(error) {
    const holes = error.problem?.holes ?? [];
    if (error.status !== 406 || !holes.length) {
      this.note(error.status ? error.message : "No answer from this node.", true);
      return;
    }
    const named = holes.slice(0, MOST_NAMED).map(({ start, end }) => stretch(parse(start), parse(end)));
    const more = holes.length > MOST_NAMED ? ` and ${holes.length - MOST_NAMED} more` : "";
    this.note(`It has holes: ${named.join(", ")}${more}. Allow holes to get the rest.`, true);
    byId("cut-allow").hidden = false;
  }
}

/** What may be typed. */
const expected = (now) => {
  const zone = first() === UTC ? "UTC" : first().name(now);
  return `Type a time such as 7:36:10 (on the day shown), 2019-11-13 07:36:10, 2019-11-13T07:36:10Z or 5 min ago; without a zone it is ${zone}.`;
};

/** Throws why there is no piece, for which HEAD has no words. If it is there after all it is not read here. */
async function whyNot(address) {
  const leaving = new AbortController();
  const response = await send(address, leaving.signal);
  if (!response.ok) throw await refusal(response);
  leaving.abort();
}

function save(address, name) {
  const link = make("a", { href: address, download: name });
  document.body.append(link);
  link.click();
  link.remove();
}
