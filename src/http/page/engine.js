// Plays a quality from a time on.
//
// 1. A stretch of time is asked for as a playlist: from that time on, with an end where it is over, and without one where it may still grow.
// 2. Where nothing is there at all, the hole is asked about, and what comes behind it is played.
// 3. At the end of a stretch the next one begins.
// 4. A segment that is not to be had is left out. What the browser cannot play is tried again, and then left out.
// 5. A browser's buffer has the tracks that it had at first: it refuses a segment where sound begins, and waits for ever where sound ends.
//    There another buffer is made. Where sound ends within a segment, what is left of it is left out.
// 6. Where the channel has sound that lies apart from its pictures, the master playlist says whether it belongs to them. Of its qualities the one that
//    was chosen is played, and no other.

import { path, query } from "./api.js";
import { extentOf, placeOf, timeAt } from "./clock.js";
import { explain } from "./holes.js";
import { Loader } from "./loader.js";
import { HOUR, MINUTE, SECOND, iso, parse } from "./time.js";

/** A stretch: a playlist of it is some hundred kilobytes. */
const STRETCH = 2 * HOUR;
/** With the present, so much is there to go back in. */
const BACK = 10 * MINUTE;
/** Behind the end of a stretch nothing comes any more when that is so long over. */
const OVER = 30 * SECOND;
/** Segments that are left out one after the other: more than that, and something else is wrong. */
const MOST_SKIPPED = 30;
/** How often what the browser cannot play is tried again at the same place. */
const MOST_RECOVERIES = 2;
/** So often it is looked at whether it goes on, and so often it may be found not to. */
const LOOK = 500;
const PATIENCE = 3;
/** So often nothing at all may have come to be played; then it is said what has come instead. */
const HUNGER = 12;
/** A new buffer is made so many seconds before the old one is at its end, and filled from so much behind it on. */
const EARLY = 0.2;
const WITHIN = 0.05;
/** What is no further off is the same place. */
const NEAR = 0.3;
/** Where nothing is recorded yet, it is asked for again after so long. */
const AGAIN = 3 * SECOND;

const SETTINGS = {
  // A worker would be one more file that others have made; taking apart one stream is little work.
  enableWorker: false, autoStartLoad: false, pLoader: Loader, fLoader: Loader, startFragPrefetch: false,
  maxBufferLength: 30, maxMaxBufferLength: 60, backBufferLength: 60, liveSyncDurationCount: 2,
};

export const playlist = (stream, values) =>
  `/playlist/${encodeURIComponent(stream.channel)}/${encodeURIComponent(stream.quality)}.m3u8${query(values)}`;

/** All qualities of a channel, with the sound that lies apart from them. */
const master = (stream, values) => `/playlist/${encodeURIComponent(stream.channel)}.m3u8${query(values)}`;

const made = new Map();
/** What plays HLS; it is large, and loaded only when something is played. Only the larger one plays sound that lies apart. */
function hls(isApart) {
  const file = isApart ? "/page/hls.min.mjs" : "/page/hls.light.min.mjs";
  if (!made.has(file)) {
    made.set(file, import(file).then((module) => module.default).catch((error) => {
      made.delete(file);
      throw error;
    }));
  }
  return made.get(file);
}

/** Plays into a video element; `tell(what, words)` is called with "loading", "ready", "waiting", "slow", "end", "refused" and "trouble". */
export class Engine {
  constructor(video, now, tell) {
    Object.assign(this, { video, now, tell, player: null, turn: 0, fragments: [], row: null, stretch: null, speed: 1, last: -1, stuck: 0 });
    video.addEventListener("ended", () => this.next());
    setInterval(() => this.look(), LOOK);
  }

  /** The time of the picture, in milliseconds since 1970. */
  get time() {
    return this.player ? timeAt(this.fragments, this.video.currentTime) : null;
  }

  /** From when to when what is loaded goes. */
  get extent() {
    return extentOf(this.fragments);
  }

  /** Plays a row from a time on; from the present where none is given. */
  async play(row, at = null, isPaused = false) {
    this.stop();
    const { turn } = this;
    const now = this.now();
    // Whole minutes, so that all who look at the present follow one and the same list.
    const from = at ?? Math.floor((now - BACK) / MINUTE) * MINUTE;
    // What reaches the present has no end: it goes on.
    const to = from + STRETCH > now ? null : from + STRETCH;
    Object.assign(this, { row, stretch: { from, to, live: at === null }, wish: at, isPaused, skipped: 0, recoveries: 0, stuck: 0, hunger: 0, loads: 0, refused: null, remade: null });
    this.tell("loading");
    let Hls;
    try {
      Hls = await hls(row.hasSoundApart);
    } catch {
      if (turn === this.turn) this.tell("trouble", "The player cannot be loaded: no answer from this node.");
      return;
    }
    if (turn !== this.turn) return;
    if (!Hls.isSupported()) {
      this.tell("trouble", "This browser cannot play this: it lacks Media Source Extensions.");
      return;
    }
    const range = { start: iso(from), ...(to ? { end: iso(to) } : {}) };
    if (row.hasSoundApart) this.begin(Hls, master(row.stream, range), playlist(row.stream, range));
    else this.begin(Hls, playlist(row.stream, range));
  }

  /** Plays a media playlist; or of a master playlist this one, by itself where the master does not have it. */
  begin(Hls, address, chosen = null) {
    const player = new Hls(SETTINGS);
    Object.assign(this, { player, isBegun: false });
    const { Events } = Hls;
    const alone = () => {
      player.destroy();
      this.begin(Hls, chosen);
    };
    if (chosen) {
      const [wanted] = chosen.split("?");
      player.on(Events.MANIFEST_PARSED, (_, { levels }) => {
        const level = levels.findIndex(({ url }) => new URL([url].flat()[0], location.href).pathname === wanted);
        if (level < 0) return alone();
        player.currentLevel = level;
        return player.startLoad(this.stretch.live ? -1 : 0);
      });
    }
    player.on(Events.LEVEL_LOADED, (_, { details }) => this.loaded(details));
    player.on(Events.LEVEL_UPDATED, (_, { details }) => (this.fragments = details.fragments));
    player.on(Events.LEVEL_PTS_UPDATED, (_, { details }) => (this.fragments = details.fragments));
    player.on(Events.FRAG_LOADED, () => (this.loads += 1));
    player.on(Events.FRAG_BUFFERED, () => (this.skipped = 0));
    player.on(Events.ERROR, (_, data) => {
      if (data.details === "levelEmptyError") this.empty();
      // It has no quality at all, or none that this browser can play: what is wrong is said of the one that was chosen.
      else if (chosen && data.details.startsWith("manifest")) alone();
      else if (data.fatal) this.failed(Hls, data);
    });
    player.loadSource(address);
    player.attachMedia(this.video);
  }

  /** A playlist has come, the first or a longer one. */
  loaded(details) {
    this.fragments = details.fragments;
    this.isGrowing = details.live;
    if (this.isBegun || !details.fragments.length) return;
    this.isBegun = true;
    const place = this.stretch.live ? -1 : placeOf(this.fragments, this.stretch.from);
    this.player.startLoad(place ?? 0);
    this.setSpeed(this.speed);
    this.tell("ready");
    if (!this.isPaused) this.go();
  }

  /** Lets it run; a browser may want a click for that. */
  go() {
    this.isPaused = false;
    this.video.play().catch((error) => error.name === "NotAllowedError" && this.tell("refused"));
  }

  setSpeed(speed) {
    this.speed = speed;
    this.video.defaultPlaybackRate = speed;
    this.video.playbackRate = speed;
  }

  /** Shows a time: within what is loaded, or by loading what is there. */
  seek(at) {
    const place = at < (this.extent?.from ?? Infinity) ? null : placeOf(this.fragments, at);
    if (place === null || !this.player) return this.play(this.row, at, this.video.paused && this.player !== null);
    this.stretch.live = false;
    // Nothing is loaded any more once a segment was refused.
    if (this.refused === null) this.video.currentTime = place;
    else this.remake(place);
    return null;
  }

  /** Goes on from a place with another buffer. */
  remake(place) {
    const { player, video } = this;
    const isPaused = video.paused;
    Object.assign(this, { refused: null, remade: place, stuck: 0 });
    player.detachMedia();
    player.attachMedia(video);
    player.startLoad(place + WITHIN);
    this.setSpeed(this.speed);
    if (!isPaused) this.go();
  }

  /** Where it stands still although the next segment is loaded: from there on another buffer. Not twice at one place. */
  heldUp() {
    const { buffered, currentTime } = this.video;
    // A new buffer is empty, and its time 0, until what it begins with has come.
    if (buffered.length === 0) return null;
    const isNew = (start) => Math.abs(start - (this.remade ?? -Infinity)) > NEAR;
    const next = this.fragments.find(({ start }) => start > currentTime - NEAR && isNew(start));
    return next?.stats.buffering.end ? Math.max(currentTime, next.start) : null;
  }

  stop() {
    this.turn += 1;
    this.player?.destroy();
    this.player = null;
    this.fragments = [];
  }

  /** The stretch is at its end. */
  next() {
    const { row, stretch } = this;
    if (stretch?.to) this.play(row, stretch.to);
    else this.tell("end");
  }

  /** Nothing is there from the beginning of the stretch to its end: what comes behind it is played, or waited for. */
  async empty() {
    const { row, stretch, wish, isPaused } = this;
    this.stop();
    const { turn } = this;
    try {
      const { hole } = await explain(row, stretch.from);
      if (turn !== this.turn) return;
      if (hole?.end && parse(hole.end) > stretch.from) this.play(row, parse(hole.end) + 1, isPaused);
      else if (stretch.to) this.tell("end");
      else {
        this.tell("waiting");
        setTimeout(() => turn === this.turn && this.play(row, wish, isPaused), AGAIN);
      }
    } catch (error) {
      if (turn === this.turn) this.tell("trouble", error.message);
    }
  }

  failed({ ErrorTypes }, { type, details, frag, response, error }) {
    const status = response?.code;
    if (type === ErrorTypes.NETWORK_ERROR && !frag) {
      if (status === 406) this.empty();
      else this.tell("trouble", words(status, response?.text ?? error?.message));
      return;
    }
    const isGone = type === ErrorTypes.NETWORK_ERROR && (status === 404 || status === 410);
    if (frag && (isGone || details === "fragParsingError") && this.skipped < MOST_SKIPPED) {
      this.skip(frag);
      return;
    }
    const isAgain = frag && Math.abs(frag.start - (this.remade ?? -Infinity)) <= NEAR;
    if (details === "bufferAppendError" && frag && !isAgain && frag.start > this.video.currentTime) {
      this.refused = frag.start;
      return;
    }
    if (type === ErrorTypes.MEDIA_ERROR && this.recoveries < MOST_RECOVERIES) {
      this.recoveries += 1;
      this.player.recoverMediaError();
      if (!this.isPaused) this.go();
      return;
    }
    const time = this.time;
    this.tell("trouble", type === ErrorTypes.NETWORK_ERROR ? `A segment cannot be loaded: ${response?.text || details}`
      : `The browser cannot play this${time ? ` at ${iso(time)}` : ""} (${details}).`);
  }

  /** Goes on without this segment, as if the playlist had said that it is none. */
  skip(frag) {
    this.skipped += 1;
    frag.gap = true;
    frag.tagList.push(["GAP"]);
    this.player.startLoad(this.video.currentTime);
  }

  /** Nothing has come that can be played: a black picture says nothing about why. */
  starve() {
    const seconds = (HUNGER * LOOK) / SECOND;
    if (this.loads === 0) {
      this.tell("slow", `Nothing has arrived from this node for ${seconds} s; still waiting.`);
      return;
    }
    this.isPaused = true;
    this.video.pause();
    this.tell("trouble", "These segments have neither a picture nor sound that this browser can play. Try another quality or another time, or download a cut.");
  }

  /** Goes on where the browser waits for what does not come. */
  look() {
    const { video, player, stretch } = this;
    this.hunger = player && !video.paused && video.buffered.length === 0 ? this.hunger + 1 : 0;
    if (this.hunger === HUNGER) this.starve();
    if (player && this.refused !== null && !video.paused && video.currentTime > this.refused - EARLY) {
      this.remake(this.refused);
      return;
    }
    if (!player || video.paused || video.seeking || video.currentTime !== this.last) {
      if (video.currentTime !== this.last && this.stuck === 0) this.recoveries = 0;
      [this.last, this.stuck] = [video.currentTime, 0];
      return;
    }
    this.stuck += 1;
    if (this.stuck < PATIENCE) return;
    const { buffered, currentTime } = video;
    const ahead = [...Array(buffered.length).keys()].map((at) => buffered.start(at)).find((start) => start > currentTime);
    const end = this.fragments.at(-1)?.end ?? Infinity;
    const isOver = stretch.to && this.isGrowing && this.now() > stretch.to + OVER;
    const place = this.heldUp();
    if (place !== null) this.remake(place);
    else if (ahead !== undefined) video.currentTime = ahead + 0.01;
    else if (isOver && currentTime > end - 1) this.next();
  }
}

/** An answer that is no playlist, as a sentence. */
function words(status, text) {
  if (status === 404) return `This quality cannot be played here: ${text}`;
  return text || "The playlist cannot be loaded.";
}

/** What a stretch is as a piece: a transport stream or an MP4. `ending` says in what its segments are, where they are sent as they are. */
export const cutAddress = (stream, values, ending = "ts") =>
  `/cut/${encodeURIComponent(stream.channel)}/${encodeURIComponent(stream.quality)}.${ending}${query(values)}`;

/** The segments that overlap a stretch, in order of time, as the node lists them. */
export const segmentsPath = (stream) => path("segments", stream.channel, stream.quality);
