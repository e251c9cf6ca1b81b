// The rows: a quality of this node each, and underneath it the same stretch on every other node. Only what is seen is asked for.

import { Refused, get, path, query } from "./api.js";
import { atMost, keep, make, put, recall, say } from "./dom.js";
import { density, missingRuns, paint, prepared, runAt } from "./draw.js";
import { DAY, HOUR, ago, duration, hourStart, iso, utc } from "./time.js";

/** So much more than is seen is asked for on both sides, so that moving shows something at once. */
const MARGIN = 0.25;
/** As many pixels as may be asked for. */
const MOST_PIXELS = 4096;
/** An answer of another node is asked for again after this; nobody tells when it changes. So is one of this node while nobody tells. */
const PEER_AGE = 5000;
/** After an error another node, or this one, is asked again no sooner. */
const PEER_PAUSE = 10000;
const OWN_PAUSE = 2000;

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

  /** Why another node is not asked at all; nothing where it is. */
  get mute() {
    if (this.peer?.speaks === "fixed-part") return "lists files only, and cannot say";
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
      this.asked = { from, to, version, pixel, when: performance.now() };
      [this.error, this.progress] = [null, null];
      this.version += 1;
    } catch (error) {
      if (error.name === "AbortError") return;
      this.error = error instanceof Refused ? error.message : "This node does not answer.";
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
    this.words.title = why ?? "";
    this.element.classList.toggle("failed", Boolean(why) && !this.progress);
    this.describe();
  }

  /** What stands beside the row's name. */
  describe() {
    const { peer, timeline, view } = this;
    const parts = [];
    if (peer) {
      if (peer.reachable === false) parts.push("away");
      else if (peer.behind_segments > 0) parts.push(`${peer.behind_segments} not here yet`);
    } else if (timeline?.extent) {
      const age = view.now() - timeline.extent.end;
      parts.push(age < 2 * DAY ? ago(age) : `to ${utc(timeline.extent.end).slice(0, 10)}`);
    } else if (timeline) parts.push("no video");
    say(this.figure, parts.join(", "));
  }

  /** What is known of a time without asking: for the hint, and for whoever hears the page. */
  at(time) {
    const run = runAt(this.timeline, time);
    if (!run) return { run: null, state: "unknown", words: "not known yet" };
    const { extent, step } = this.timeline;
    const long = duration(step);
    if (run.missing < 0) {
      const words = !extent ? "there is no video" : time < extent.start ? "before the first segment" : "after the last segment";
      return { run, state: "outside", words };
    }
    if (run.missing === 1000) return { run, state: "hole", words: "missing" };
    if (run.missing > 0) return { run, state: "hole", words: `${percent(run.missing)} of these ${long} missing` };
    if (run.partial === 1000) return { run, state: "partial", words: "partial or suspect only" };
    if (run.partial > 0) return { run, state: "partial", words: `${percent(run.partial)} of these ${long} partial or suspect only` };
    return { run, state: "full", words: "full" };
  }
}

const percent = (perMille) => (perMille <= 1 ? "up to 0.1 %" : `${perMille / 10} %`);

const FOLDED = "gapless-folded";
function foldedBefore() {
  try {
    const names = JSON.parse(recall("localStorage", FOLDED) ?? "[]");
    return Array.isArray(names) ? names : [];
  } catch {
    return [];
  }
}

/** All rows. */
export class Rows {
  constructor(element, view) {
    Object.assign(this, { element, view, all: [], listeners: [], peers: [], isTold: false });
    /** What changes is asked for at most twice a second. */
    this.loadChanged = atMost(500, () => this.load());
    const look = (entries) => {
      for (const { target, isIntersecting } of entries) {
        target.row.seen = isIntersecting;
        if (isIntersecting) target.row.draw();
      }
      this.load();
    };
    this.observer = new IntersectionObserver(look, { rootMargin: "80px 0px" });
    this.folded = new Set(foldedBefore());
  }

  subscribe(listener) {
    this.listeners.push(listener);
  }

  loaded(row) {
    for (const listener of this.listeners) listener(row);
  }

  /** The rows of this node. */
  get own() {
    return this.all.filter((row) => !row.peer);
  }

  /** Asks for what is seen: first of this node, then of others. */
  load() {
    const seen = this.all.filter((row) => row.seen);
    const own = Promise.all(seen.filter((row) => !row.peer).map((row) => row.load()));
    own.then(() => seen.filter((row) => row.peer).forEach((row) => row.load()));
    return own;
  }

  loadSoon() {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.load(), 90);
  }

  draw() {
    for (const row of this.all) row.draw();
  }

  /** Hours have changed; whether any row is concerned, and whether all are known. */
  changed(hours) {
    let known = true;
    for (const [channel, quality, hour] of hours) {
      const rows = this.all.filter((row) => row.stream.channel === channel && row.stream.quality === quality);
      if (rows.length === 0 && quality !== "chat") known = false;
      for (const row of rows.filter((each) => !each.peer)) row.changed(hour);
    }
    this.loadChanged();
    return known;
  }

  /** Everything may have changed. */
  resync() {
    for (const row of this.all) row.wanted += 1;
    this.loadSoon();
  }

  /** Shows these qualities and other nodes: what is there already stays as it is. */
  show(streams, peers) {
    this.peers = peers;
    const video = streams.filter((stream) => stream.video);
    const key = (stream, peer) => JSON.stringify([stream.channel, stream.quality, peer?.name ?? null]);
    const before = new Map(this.all.map((row) => [key(row.stream, row.peer), row]));
    const row = (stream, peer) => {
      const known = before.get(key(stream, peer)) ?? new Row(this, stream, peer);
      Object.assign(known, { stream, peer });
      return known;
    };
    this.all = [];
    const sections = [];
    for (const channel of [...new Set(video.map((stream) => stream.channel))]) {
      const lanes = [];
      for (const stream of video.filter((each) => each.channel === channel)) {
        const own = row(stream, null);
        const others = peers.map((peer) => row(stream, peer));
        this.all.push(own, ...others);
        lanes.push(own.element, this.fold(own, others));
      }
      const heading = make("h2", {}, channel);
      sections.push(make("section", { class: "channel", "aria-label": channel }, heading, ...lanes));
    }
    for (const gone of before.values()) {
      if (this.all.includes(gone)) continue;
      this.observer.unobserve(gone.track);
      gone.seen = false;
      gone.loading?.abort.abort();
    }
    for (const section of this.element.querySelectorAll(":scope > .channel")) section.remove();
    put(this.element, ...sections);
    for (const each of this.all) each.describe();
  }

  /** How it goes with the other nodes now. */
  update(peers) {
    for (const peer of this.peers) {
      const now = peers.find((each) => each.name === peer.name);
      // What is not told any more, such as an error, is over.
      for (const name of Object.keys(peer)) delete peer[name];
      Object.assign(peer, now);
    }
    for (const row of this.all) if (row.peer) row.draw();
  }

  /** The rows of other nodes underneath one of this node, and the button that hides them. */
  fold(own, others) {
    own.label.querySelector("button")?.remove();
    if (others.length === 0) return null;
    const id = own.name;
    const box = make("div", { class: "peers", role: "group", "aria-label": `${id} on other nodes` }, ...others.map((row) => row.element));
    const button = make("button", { type: "button", class: "fold", "aria-label": `Other nodes of ${id}`, title: "Other nodes" });
    const apply = () => {
      box.hidden = this.folded.has(id);
      button.setAttribute("aria-expanded", String(!box.hidden));
      button.textContent = `${others.length} ${box.hidden ? "▸" : "▾"}`;
    };
    button.addEventListener("click", () => {
      if (!this.folded.delete(id)) this.folded.add(id);
      keep("localStorage", FOLDED, JSON.stringify([...this.folded].slice(-500)));
      apply();
    });
    apply();
    own.label.append(button);
    return box;
  }
}
