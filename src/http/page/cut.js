// The stretch between in and out: marked, checked for holes, downloaded, and told to others as a link.

import { hasToken, refusal, send } from "./api.js";
import { afterwards, byId, fill, make, say } from "./dom.js";
import { cutAddress } from "./engine.js";
import { holesBetween } from "./holes.js";
import { duration, iso, parse, utc } from "./time.js";

/** Holes that are named; the rest is counted. */
const MOST_NAMED = 5;

/** In and out, and what is done with what lies between. */
export class Cut {
  /** `place()` says the row and the time of the picture; `changed()` is called when in or out is another. */
  constructor(place, changed) {
    Object.assign(this, { place, changed, from: null, to: null, turn: 0 });
    this.check = afterwards(250, () => this.lookForHoles());
    for (const [side, id] of [["from", "cut-from"], ["to", "cut-to"]]) {
      byId(id).addEventListener("change", (event) => this.type(side, event.target));
    }
    byId("cut-in").addEventListener("click", () => this.mark("from"));
    byId("cut-out").addEventListener("click", () => this.mark("to"));
    byId("cut-clear").addEventListener("click", () => this.set(null, null));
    byId("cut-download").addEventListener("click", () => this.download());
    byId("cut-type").addEventListener("change", () => this.draw());
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

  type(side, input) {
    const text = input.value.trim();
    // Without a zone it is UTC.
    const at = text === "" ? null : parse(/[Zz]$|[+-]\d\d:?\d\d$/.test(text) ? text : `${text.replace(" ", "T")}Z`);
    if (Number.isNaN(at)) {
      this.draw();
      say(byId("cut-note"), `"${text}" is no time: give one such as 2019-11-13T02:45:12.5Z.`);
      return;
    }
    this.set(side === "from" ? at : this.from, side === "to" ? at : this.to);
  }

  set(from, to) {
    Object.assign(this, { from, to, holes: null });
    byId("cut-holes").checked = false;
    this.draw();
    this.check();
    this.changed();
  }

  draw() {
    const whole = this.isWhole;
    for (const [id, at] of [["cut-from", this.from], ["cut-to", this.to]]) byId(id).value = at === null ? "" : iso(at);
    for (const id of ["cut-download", "cut-hide"]) byId(id).disabled = !whole;
    byId("cut-allow").hidden = !this.holes?.length;
    const isWrong = this.from !== null && this.to !== null && !whole;
    const length = whole ? duration(this.to - this.from) : isWrong ? "Out is not after in." : "Mark in and out to cut.";
    const missing = (this.holes ?? []).reduce((sum, hole) => sum + hole.to - hole.from, 0);
    const holes = this.holes?.length ? `, with ${this.holes.length === 1 ? "a hole" : `${this.holes.length} holes`} of ${duration(missing)}` : "";
    say(byId("cut-note"), length + holes);
  }

  async lookForHoles() {
    this.turn += 1;
    const { turn } = this;
    const { row } = this.place();
    if (!this.isWhole || !row) return;
    const holes = await holesBetween(row, this.from, this.to).catch(() => null);
    if (turn !== this.turn) return;
    this.holes = holes;
    this.draw();
  }

  /** What the stretch is called as a file. */
  name(stream, type) {
    const plain = (text) => text.replaceAll(/[^\p{L}\p{N}._-]+/gu, "_");
    const time = utc(this.from).replace(" ", "T").replaceAll(":", "-");
    return `${plain(stream.channel)}-${plain(stream.quality)}-${time}.${type === "mp4" ? "mp4" : "ts"}`;
  }

  /** The address of the piece. */
  address(stream) {
    const type = byId("cut-type").value;
    const allowed = byId("cut-holes").checked ? { allow_holes: "true" } : {};
    return cutAddress(stream, { start: iso(this.from), end: iso(this.to), type, ...allowed });
  }

  /**
   * Saves the piece. The browser fetches it by itself, as large as it may be; where reading wants a token it cannot, and the page fetches
   * it and hands it over.
   */
  async download() {
    const { row } = this.place();
    if (!row || !this.isWhole) return;
    const address = this.address(row.stream);
    const name = this.name(row.stream, byId("cut-type").value);
    const button = byId("cut-download");
    button.disabled = true;
    say(byId("cut-note"), "Asking for it…");
    try {
      if (hasToken()) {
        const response = await send(address);
        if (!response.ok) throw await refusal(response);
        const held = URL.createObjectURL(await response.blob());
        save(held, name);
        setTimeout(() => URL.revokeObjectURL(held), 60000);
      } else {
        const response = await send(address, undefined, "HEAD");
        if (!response.ok) await whyNot(address);
        save(address, name);
      }
      say(byId("cut-note"), "The download has begun.");
    } catch (error) {
      this.tell(error);
    }
    button.disabled = !this.isWhole;
  }

  /** Why there is no piece. */
  tell(error) {
    const holes = error.problem?.holes ?? [];
    if (error.status !== 406 || !holes.length) {
      say(byId("cut-note"), error.status ? error.message : "This node does not answer.");
      return;
    }
    const named = holes.slice(0, MOST_NAMED).map(({ start, end }) => `${utc(parse(start))} – ${utc(parse(end)).slice(11)}`);
    const more = holes.length > MOST_NAMED ? ` and ${holes.length - MOST_NAMED} more` : "";
    fill(byId("cut-note"), make("span", { class: "trouble" }, `Something is missing in it: ${named.join(", ")}${more}. Allow holes to have the rest.`));
    byId("cut-allow").hidden = false;
  }
}

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
