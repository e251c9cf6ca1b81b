// The player underneath the timelines: what its buttons and keys do, and what it says.

import { Cut } from "./cut.js";
import { byId, fill, make, say } from "./dom.js";
import { Engine } from "./engine.js";
import { nextHole } from "./holes.js";
import { Marks } from "./marks.js";
import { change, setting } from "./settings.js";
import { MINUTE, SECOND, ago, iso, parse } from "./time.js";
import { beside, written } from "./zone.js";

/** So long before a hole it is played from, so that one sees how it comes. */
const BEFORE = 5 * SECOND;
/** What the buttons and keys for back and forth go. */
const STEP = 10 * SECOND;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2, 3, 4];

/** The player, and in and out. */
export class Player {
  /** `moved` is called when the address is another. */
  constructor(rows, view, { moved }) {
    Object.assign(this, { rows, view, row: null, goal: null });
    this.section = byId("player");
    this.video = byId("video");
    this.engine = new Engine(this.video, view.now, (what, words) => this.onEngine(what, words));
    this.cut = new Cut(() => ({ row: this.row, time: this.time, view }), () => {
      this.mark();
      moved();
    });
    this.marks = new Marks(rows, view, (at, isLast) => this.drag(at, isLast));
    this.moved = moved;
    this.listen();
  }

  /** The time of the picture, or the one that it is on its way to. */
  get time() {
    return this.goal ?? this.engine.time;
  }

  get isOpen() {
    return !this.section.hidden;
  }

  listen() {
    const buttons = {
      "player-close": () => this.close(), "player-toggle": () => this.toggle(), "player-start": () => this.engine.go(),
      "player-back": () => this.step(-STEP), "player-forth": () => this.step(STEP), "player-live": () => this.live(),
      "player-hole": () => this.toHole(), "player-past": () => this.pastHole(), "player-mute": () => this.mute(), "player-full": () => this.fill(),
      "cut-link": () => this.copy(),
    };
    for (const [id, work] of Object.entries(buttons)) byId(id).addEventListener("click", work);
    fill(byId("player-speed"), ...SPEEDS.map((speed) => make("option", { value: speed }, `${speed}×`)));
    byId("player-speed").addEventListener("change", (event) => this.speed(Number(event.target.value)));
    this.speed(SPEEDS.includes(setting("speed")) ? setting("speed") : 1);
    this.video.muted = setting("muted");
    byId("player-quality").addEventListener("change", (event) => this.quality(event.target.value));
    const scrub = byId("player-scrub");
    scrub.addEventListener("input", () => (this.video.currentTime = Number(scrub.value)));
    this.video.addEventListener("click", () => this.toggle());
    for (const event of ["play", "playing", "pause", "waiting", "seeked", "volumechange"]) this.video.addEventListener(event, () => this.show());
    for (const event of ["timeupdate", "seeking", "durationchange"]) this.video.addEventListener(event, () => this.show());
    const pictures = () => {
      this.clock();
      if (this.video.requestVideoFrameCallback) this.video.requestVideoFrameCallback(pictures);
    };
    this.video.requestVideoFrameCallback?.(pictures);
  }

  // What is played.

  /** Plays a row of this node from a time on; from the present where none is given. */
  play(row, at = null, isPaused = false) {
    const isOther = this.row !== row;
    Object.assign(this, { row, goal: at });
    this.section.hidden = false;
    if (isOther) this.title();
    if (isOther) this.cut.check();
    this.state("waiting");
    this.engine.play(row, at, isPaused);
    this.moved();
  }

  /** Shows a time in what is played. */
  seek(at) {
    if (!this.row) return;
    this.goal = at;
    if (this.engine.seek(at) === null) this.goal = null;
    this.show();
  }

  drag(at, isLast) {
    const { extent } = this.engine;
    const isLoaded = extent && at >= extent.from && at < extent.to;
    if (isLast || isLoaded) this.seek(at);
  }

  step(by) {
    const { time } = this;
    if (time !== null) this.seek(time + by);
  }

  /** Whether it plays as soon as it is there. */
  get isLoading() {
    const { engine } = this;
    return Boolean(engine.player) && !engine.isBegun && !engine.isPaused;
  }

  live() {
    if (this.row) this.play(this.row);
  }

  toggle() {
    const { engine } = this;
    if (!this.video.paused || this.isLoading) {
      engine.isPaused = true;
      this.video.pause();
      this.show();
    } else if (this.section.dataset.state === "ended" || this.section.dataset.state === "trouble") this.play(this.row, this.time);
    else this.engine.go();
  }

  /** Another quality, at the same time. */
  quality(name) {
    const row = this.rows.own.find(({ stream }) => stream.channel === this.row.stream.channel && stream.quality === name);
    if (row) this.play(row, this.isLive ? null : this.time, this.video.paused);
  }

  get isLive() {
    return Boolean(this.engine.stretch?.live);
  }

  /** The first hole behind the time; one that is about to come is not it. */
  async hole(isNear) {
    const { row, time } = this;
    if (!row || time === null) return null;
    const hole = await nextHole(row, time, true);
    const isHere = hole && hole.from - time <= BEFORE + SECOND;
    return isHere && !isNear ? nextHole(row, hole.to, true) : hole;
  }

  async toHole() {
    const hole = await this.hole(false).catch(() => null);
    if (hole) this.jump(hole.from - BEFORE, `Plays from ${BEFORE / SECOND} s before the hole at ${written(hole.from)}.`);
    else this.note("No further holes.");
  }

  async pastHole() {
    const hole = await this.hole(true).catch(() => null);
    if (hole) this.jump(hole.to + 1, `Plays from the end of the hole at ${written(hole.from)}.`);
    else this.note("No further holes.");
  }

  jump(at, words) {
    this.view.reveal(at);
    this.seek(at);
    this.note(words);
  }

  mute() {
    this.video.muted = !this.video.muted;
    change("muted", this.video.muted);
  }

  speed(value) {
    this.engine.setSpeed(value);
    byId("player-speed").value = String(value);
    change("speed", value);
  }

  fill() {
    const done = document.fullscreenElement ? document.exitFullscreen() : byId("stage").requestFullscreen?.();
    done?.catch(() => this.note("This browser does not allow that."));
  }

  close() {
    this.engine.stop();
    this.video.removeAttribute("src");
    this.video.load();
    this.section.hidden = true;
    Object.assign(this, { row: null, goal: null });
    this.mark();
    this.moved();
  }

  // What it says.

  onEngine(what, words) {
    byId("player-start").hidden = what !== "refused";
    if (what === "loading") this.note("Loading…");
    if (what === "ready") this.note("");
    if (what === "waiting") this.note("Nothing is recorded here yet; it is played as soon as it arrives.");
    if (what === "refused") this.note("Click to play: the browser requires it.");
    if (what === "end") this.note("This is the end of the recording.");
    if (what === "trouble") this.note(words, true);
    if (what === "slow") this.note(words);
    if (what === "end") this.state("ended");
    else if (what === "trouble") this.state("trouble");
    else this.show();
  }

  note(words, isTrouble = false) {
    say(byId("player-note"), words);
    byId("player-note").className = isTrouble ? "trouble" : "muted";
  }

  state(name) {
    this.section.dataset.state = name;
    const isPlaying = name === "playing" || (name === "waiting" && (this.isLoading || !this.video.paused));
    const button = byId("player-toggle");
    button.setAttribute("aria-label", isPlaying ? "Pause" : "Play");
    say(button.firstElementChild, isPlaying ? "❚❚" : "▶");
  }

  title() {
    const { channel, quality } = this.row.stream;
    say(byId("player-title"), channel);
    const qualities = this.rows.own.filter(({ stream }) => stream.channel === channel).map(({ stream }) => stream.quality);
    fill(byId("player-quality"), ...qualities.map((name) => make("option", { value: name, selected: name === quality }, name)));
    byId("player-quality").value = quality;
  }

  show() {
    const { video } = this;
    if (!this.isOpen) return;
    if (this.engine.fragments.length && !video.seeking && video.readyState >= 2) this.goal = null;
    const isStuck = ["ended", "trouble"].includes(this.section.dataset.state) && video.paused;
    if (!isStuck) this.state(this.isLoading ? "waiting" : video.paused ? "paused" : video.readyState < 3 ? "waiting" : "playing");
    byId("player-mute").setAttribute("aria-pressed", String(video.muted));
    byId("player-live").setAttribute("aria-pressed", String(this.isLive));
    this.clock();
  }

  /** The time of the picture, wherever it is shown. */
  clock() {
    const { time, video } = this;
    if (!this.isOpen || time === null) return;
    const clock = byId("player-time");
    say(clock, written(time, 1));
    clock.setAttribute("datetime", iso(time));
    const age = this.view.now() - time;
    const more = [beside(time), age < 10 * MINUTE ? ago(age) : null];
    say(byId("player-local"), more.filter(Boolean).join(", "));
    const scrub = byId("player-scrub");
    const end = this.engine.fragments.at(-1)?.end ?? 0;
    scrub.min = String(this.engine.fragments[0]?.start ?? 0);
    scrub.max = String(end);
    if (document.activeElement !== scrub || !video.seeking) scrub.value = String(video.currentTime);
    scrub.setAttribute("aria-valuetext", written(time));
    this.mark();
  }

  mark() {
    this.marks.show({ at: this.isOpen ? this.time : null, from: this.cut.from, to: this.cut.to });
  }

  // The address.

  /** What the address says beside what is shown: what is played, in and out. */
  hash(withTime = false) {
    if (!this.row) return "";
    const { channel, quality } = this.row.stream;
    const values = { channel, quality };
    if (withTime && this.time !== null) values.at = iso(this.time);
    if (this.cut.from !== null) values.in = iso(this.cut.from);
    if (this.cut.to !== null) values.out = iso(this.cut.to);
    return `&${new URLSearchParams(values)}`;
  }

  /** Does what an address says; without a time in it nothing is played. */
  read(hash) {
    const values = new URLSearchParams(hash.replace(/^#/, ""));
    const time = (name) => {
      const at = parse(values.get(name) ?? "");
      return Number.isNaN(at) ? null : at;
    };
    const row = this.rows.own.find(({ stream }) => stream.channel === values.get("channel") && stream.quality === values.get("quality"));
    const isAbsent = values.has("channel") && !row;
    byId("absent").hidden = !isAbsent;
    say(byId("absent"), isAbsent ? `This address is about ${values.get("channel")}/${values.get("quality") ?? ""}, which this node does not have.` : "");
    if (!row) return;
    const [from, to] = [time("in"), time("out")];
    const at = time("at") ?? from;
    if (at === null && to === null) return;
    this.play(row, at ?? to - BEFORE, !values.has("at"));
    this.cut.set(from, to);
  }

  async copy() {
    const address = new URL(location.href);
    address.hash = this.view.hash() + this.hash(true);
    try {
      await navigator.clipboard.writeText(address.href);
      this.cut.note("Link copied.");
    } catch {
      // Without a safe line a browser gives no clipboard: the link can be taken by hand.
      history.replaceState(null, "", address.hash);
      this.cut.note("The link is in the address line of this page now.");
    }
    byId("cut-link").dataset.link = address.href;
  }

  /** Does what a key means while something is played; says whether it means anything. */
  key(key) {
    const faster = (by) => {
      const at = SPEEDS.indexOf(this.engine.speed) + by;
      this.speed(SPEEDS[Math.min(Math.max(at, 0), SPEEDS.length - 1)]);
    };
    const keys = {
      k: () => this.toggle(), i: () => this.cut.mark("from"), o: () => this.cut.mark("to"), j: () => this.step(-STEP), ";": () => this.step(STEP),
      "<": () => faster(-1), ">": () => faster(1), m: () => this.mute(), h: () => this.toHole(), H: () => this.pastHole(),
    };
    if (!this.isOpen || !Object.hasOwn(keys, key)) return false;
    keys[key]();
    return true;
  }
}
