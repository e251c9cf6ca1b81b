// A row: a quality of this node, or the same on another node. It asks for as much of its timeline as is seen, and draws it.

import { Refused, get, path, query } from "./api.js";
import { byId, make, say } from "./dom.js";
import { density, isInBucket, missingRuns, paint, prepared, runAt } from "./draw.js";
import { DAY, HOUR, MINUTE, ago, counted, duration, hourStart, iso } from "./time.js";
import { bare } from "./zone.js";

/** So much more than is seen is asked for on both sides, so that moving shows something at once. */
const MARGIN = 0.25;
/** As many pixels as may be asked for. */
const MOST_PIXELS = 4096;
/** An answer of another node is asked for again after this; nobody tells when it changes. So is one of this node while nobody tells. */
const PEER_AGE = 5000;
/** After an error another node, or this one, is asked again no sooner. */
const PEER_PAUSE = 10000;
const OWN_PAUSE = 2000;
/** What was recorded lately and has had nothing new for so long is recorded no more, whatever the node says of itself. */
const LATE = 5 * MINUTE;

/** A timeline: of this node, or of another one. */
export class Row {
  constructor(rows, stream, peer = null) {
    Object.assign(this, { rows, stream, peer, timeline: null, version: 0, wanted: 0, seen: false, loading: null, asked: null, error: null, progress: null });
    const what = `${stream.channel}/${stream.quality}${peer ? ` on ${peer.name}` : ""}`;
    this.name = what;
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.words = make("span", { class: "words" });
    this.track = make("div", {
      class: "track", role: "slider", tabindex: peer ? -1 : 0, "aria-label": what, "aria-orientation": "horizontal",
      "aria-valuetext": "not known yet", "data-channel": stream.channel, "data-quality": stream.quality, "data-peer": peer?.name ?? null,
    }, this.canvas, this.words);
    this.track.row = this;
    this.figure = make("span", { class: "figure" });
    this.head = make("span", { class: "name", title: peer ? peer.url : what }, peer ? peer.name : stream.quality);
    this.label = make("div", { class: "gutter" }, this.head, this.figure);
    this.element = make("div", { class: peer ? "lane peer" : "lane" }, this.label, this.track);
    rows.observer.observe(this.track);
  }

  get view() {
    return this.rows.view;
  }

  /** Whether its sound may be a quality of its own. */
  get hasSoundApart() {
    const { channel, quality } = this.stream;
    return this.rows.soundsApart(channel).length > 0 && !this.rows.soundsApart(channel).includes(quality);
  }

  /** Why another node is not asked at all; nothing where it is. */
  get mute() {
    if (this.peer?.speaks === "fixed-part") return "lists files only; no timeline";
    return this.peer?.reachable === false ? (this.peer.error ?? "away") : null;
  }

  /** Whether an answer to this question is as sharp as what is shown. */
  fits(asked) {
    const { view } = this;
    const pixel = view.span / Math.max(1, this.canvas.clientWidth);
    return asked.from <= view.from && asked.to >= view.to && asked.pixel < pixel * 1.05 && asked.pixel > pixel * 0.5;
  }

  /** Whether what is drawn is as sharp and as new as can be. */
  isCurrent() {
    const { asked } = this;
    if (!asked || asked.version !== this.wanted) return false;
    if ((this.peer || !this.rows.isTold) && performance.now() - asked.when > PEER_AGE) return false;
    return this.fits(asked);
  }

  /** Asks for what is shown, unless it is there. */
  async load() {
    if (!this.seen || this.isCurrent() || this.mute) return;
    if (this.error && performance.now() - this.failed < (this.peer ? PEER_PAUSE : OWN_PAUSE)) return;
    const { view } = this;
    const [from, to] = [view.from - view.span * MARGIN, view.to + view.span * MARGIN];
    const wide = Math.max(1, this.canvas.clientWidth) * (1 + 2 * MARGIN);
    const pixels = Math.min(MOST_PIXELS, Math.round(wide * density()));
    const [version, pixel] = [this.wanted, (to - from) / wide];
    if (this.loading) {
      // What is on its way is good enough if it fits; if it is too old by then, it is asked for again when it is here.
      if (this.fits(this.loading)) return;
      this.loading.abort.abort();
    }
    const loading = { from, to, pixel, abort: new AbortController() };
    this.loading = loading;
    try {
      const place = this.peer ? ["peers", this.peer.name, "timeline"] : ["timeline"];
      const address = path(...place, this.stream.channel, this.stream.quality) + query({ from: iso(from), to: iso(to), pixels });
      const answer = await get(address, loading.abort.signal);
      this.timeline = prepared(answer);
      if (this.timeline.inBucket.length > 0) byId("bucket-colour").hidden = false;
      this.asked = { from, to, version, pixel, when: performance.now() };
      [this.error, this.progress] = [null, null];
      this.version += 1;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.error = error instanceof Refused ? error.message : "No answer from this node.";
      this.progress = error instanceof Refused ? error.progress : null;
      [this.asked, this.failed] = [null, performance.now()];
    } finally {
      if (this.loading === loading) this.loading = null;
    }
    this.draw();
    this.rows.loaded(this);
    if (!this.error && this.wanted !== version) this.rows.loadChanged();
  }

  /** Something has changed in this hour. */
  changed(hour) {
    const start = hourStart(hour);
    const shown = this.timeline;
    // A segment may run over its hour; what grows at the end moves the extent, which every window shows.
    const isElsewhere = shown && (start > shown.to || start + 2 * HOUR < shown.from) && start + HOUR < (shown.extent?.end ?? 0);
    if (!isElsewhere) this.wanted += 1;
    return !isElsewhere;
  }

  draw() {
    if (!this.seen) return;
    const { view, timeline } = this;
    paint(this.canvas, timeline, view, Boolean(this.peer));
    const missing = missingRuns(timeline, view.from, view.to);
    const { dataset } = this.track;
    dataset.missing = missing.length;
    dataset.drawn = timeline ? `${iso(view.from)}/${iso(view.to)}` : "";
    dataset.version = this.version;
    const why = this.mute ?? this.progress ?? this.error;
    say(this.words, why ?? "");
    this.words.title = why ? `${why} (click for all of it)` : "";
    this.element.classList.toggle("failed", Boolean(why) && !this.progress);
    this.describe();
  }

  /** What stands beside the row's name. */
  describe() {
    const { peer, timeline, view } = this;
    let words = "";
    if (peer) {
      if (peer.reachable === false) words = "away";
      else if (peer.behind_segments > 0) words = `${peer.behind_segments} not here yet`;
    } else if (timeline?.extent) {
      const age = view.now() - timeline.extent.end;
      words = age < 2 * DAY ? ago(age) : `to ${bare(timeline.extent.end).slice(0, 10)}`;
    } else if (timeline) words = "no video";
    say(this.figure, words);
    this.figure.classList.toggle("late", this.isLate);
    this.figure.title = this.isLate ? `Nothing new for ${duration(this.age)}: is its recorder running?` : words;
  }

  /** How old what was recorded last is; nothing where that is not known. */
  get age() {
    const { timeline, view } = this;
    return timeline?.extent ? view.now() - timeline.extent.end : null;
  }

  /** Whether it looks as if its recorder had died: a recording that ended yesterday has just ended. */
  get isLate() {
    return !this.peer && this.age !== null && this.age > LATE && this.age < DAY;
  }

  /** Whether something is missing in what is shown; nothing where that is not known. */
  get hasHole() {
    if (!this.timeline || !this.asked || this.asked.version !== this.wanted || !this.fits(this.asked)) return null;
    return missingRuns(this.timeline, this.view.from, this.view.to).length > 0;
  }

  /** What is known of a time without asking: for the hint, and for whoever hears the page. */
  at(time) {
    const run = runAt(this.timeline, time);
    if (!run) return { run: null, state: "unknown", words: "not known yet" };
    const { extent, step } = this.timeline;
    const long = duration(step);
    if (run.missing < 0) {
      const words = !extent ? "no video" : time < extent.start ? "before the first segment" : "after the last segment";
      return { run, state: "outside", words };
    }
    if (run.missing === 1000) return { run, state: "hole", words: "missing" };
    if (run.missing > 0) return { run, state: "hole", words: `${percent(run.missing)} of these ${long} missing` };
    if (run.partial === 1000) return { run, state: "partial", words: "partial or suspect only" };
    if (run.partial > 0) return { run, state: "partial", words: `${percent(run.partial)} of these ${long} partial or suspect only` };
    return { run, state: "full", words: isInBucket(this.timeline, time) ? "full, in the bucket" : "full" };
  }
}

const percent = (perMille) => (perMille <= 1 ? "up to 0.1 %" : `${perMille / 10} %`);
