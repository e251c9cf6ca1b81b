// All rows: each channel with its qualities, and underneath each quality the same stretch on every other node. Only what is seen is asked for.

import { atMost, make, put, say } from "./dom.js";
import { inOrder } from "./order.js";
import { Row } from "./row.js";
import { change, setting } from "./settings.js";
import { counted } from "./time.js";

/** Puts a name into a list that a setting is, or takes it out; whether it is in it now. */
function flip(name, value) {
  const list = setting(name);
  const isIn = list.includes(value);
  change(name, isIn ? list.filter((each) => each !== value) : [...list, value]);
  return !isIn;
}

/** All rows. */
export class Rows {
  constructor(element, view) {
    Object.assign(this, { element, view, all: [], listeners: [], peers: [], channels: [], isTold: false, isHeld: true, byKey: new Map() });
    /** What changes is asked for at most twice a second. */
    this.loadChanged = atMost(500, () => this.load());
    const look = (entries) => {
      for (const { target, isIntersecting } of entries) {
        target.row.seen = isIntersecting;
        if (isIntersecting) target.row.draw();
      }
      this.load();
      for (const listener of this.listeners) listener(null);
    };
    this.observer = new IntersectionObserver(look, { rootMargin: "80px 0px" });
  }

  /** `listener(row)` is called when a row has been asked for, and with null when others are on the screen. */
  subscribe(listener) {
    this.listeners.push(listener);
  }

  /** Qualities of a channel that recorders call so when they are sound that lies apart from its pictures. */
  soundsApart(channel) {
    const qualities = this.own.filter(({ stream }) => stream.channel === channel).map(({ stream }) => stream.quality);
    return qualities.filter((quality) => /^audio(-|$)/.test(quality));
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
    if (this.isHeld) return Promise.resolve();
    const seen = this.all.filter((row) => row.seen);
    const own = Promise.all(seen.filter((row) => !row.peer).map((row) => row.load()));
    own.then(() => seen.filter((row) => row.peer).forEach((row) => row.load()));
    return own;
  }

  /** Nothing is asked for before the node tells of changes, or does not: else all would have to be asked for twice. */
  release() {
    this.isHeld = false;
    this.load();
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
      const row = this.byKey.get(JSON.stringify([channel, quality, null]));
      if (!row && quality !== "chat") known = false;
      row?.changed(hour);
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
    const key = (stream, peer) => JSON.stringify([stream.channel, stream.quality, peer?.name ?? null]);
    const before = this.byKey;
    this.byKey = new Map();
    const row = (stream, peer) => {
      const known = before.get(key(stream, peer)) ?? new Row(this, stream, peer);
      Object.assign(known, { stream, peer });
      this.byKey.set(key(stream, peer), known);
      return known;
    };
    const video = Map.groupBy(streams.filter((stream) => stream.video), (stream) => stream.channel);
    this.channels = [...video].sort(([a], [b]) => inOrder(a, b)).map(([name, qualities]) => {
      const lanes = qualities.sort((a, b) => inOrder(a.quality, b.quality)).map((stream) => {
        const own = row(stream, null);
        const others = peers.map((peer) => row(stream, peer));
        return { own, others, box: this.fold(own, others) };
      });
      return this.channel(name, lanes);
    });
    this.all = this.channels.flatMap(({ lanes }) => lanes.flatMap(({ own, others }) => [own, ...others]));
    for (const [name, gone] of before) {
      if (this.byKey.has(name)) continue;
      this.observer.unobserve(gone.track);
      gone.seen = false;
      gone.loading?.abort.abort();
    }
    for (const section of this.element.querySelectorAll(":scope > .channel")) section.remove();
    put(this.element, ...this.channels.map(({ section }) => section));
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

  /** A channel with its heading, which stays while one scrolls through its rows, and folds them away but for one, as a thin line. */
  channel(name, lanes) {
    const chief = lanes.find(({ own }) => own.stream.quality === "source") ?? lanes.at(-1);
    for (const { own } of lanes) own.element.classList.toggle("chief", own === chief.own);
    const body = make("div", {}, ...lanes.map(({ own, box }) => [own.element, box]).flat());
    const button = make("button", { type: "button", class: "channel-name" }, make("i", { "aria-hidden": "true" }), make("span", {}, name));
    const figure = make("span", { class: "muted" });
    const section = make("section", { class: "channel", "aria-label": name, "data-channel": name }, make("h2", {}, button, figure), body);
    const channel = { name, lanes, section, button, figure, chief: chief.own.stream.quality };
    button.addEventListener("click", () => {
      flip("collapsed", name);
      this.collapse(channel);
    });
    this.collapse(channel);
    return channel;
  }

  /** Folds a channel away or not, as the setting says. */
  collapse({ name, lanes, button, section, figure, chief }) {
    const isCollapsed = setting("collapsed").includes(name);
    section.classList.toggle("collapsed", isCollapsed);
    button.setAttribute("aria-expanded", String(!isCollapsed));
    const all = counted(lanes.length, "quality", "qualities");
    say(figure, isCollapsed && lanes.length > 1 ? `${chief} +${lanes.length - 1}` : all);
    figure.title = isCollapsed ? `${chief} is shown, of ${all}` : all;
  }

  get isCollapsed() {
    return this.channels.every(({ section }) => section.classList.contains("collapsed"));
  }

  /** All channels, or none. */
  collapseAll(isAll) {
    change("collapsed", isAll ? this.channels.map(({ name }) => name) : []);
    for (const channel of this.channels) this.collapse(channel);
  }

  /** Shows only the rows for which `isShown(row)` holds, and channels with any of them; how many are shown. */
  filter(isShown) {
    const count = { channels: 0, rows: 0 };
    for (const { lanes, section } of this.channels) {
      let rows = 0;
      for (const { own, box } of lanes) {
        const isOut = !isShown(own);
        own.element.classList.toggle("out", isOut);
        box?.classList.toggle("out", isOut);
        rows += isOut ? 0 : 1;
      }
      section.hidden = rows === 0;
      count.rows += rows;
      count.channels += rows === 0 ? 0 : 1;
    }
    return count;
  }

  /** The rows of other nodes underneath one of this node, and the button that hides them. */
  fold(own, others) {
    own.label.querySelector("button")?.remove();
    if (others.length === 0) return null;
    const id = own.name;
    const box = make("div", { class: "peers", role: "group", "aria-label": `${id} on other nodes` }, ...others.map((row) => row.element));
    const button = make("button", { type: "button", class: "fold", "aria-label": `Other nodes of ${id}`, title: `${counted(others.length, "other node")} with ${id}` });
    const apply = () => {
      box.hidden = setting("folded").includes(id);
      button.setAttribute("aria-expanded", String(!box.hidden));
      button.textContent = `${others.length} ${box.hidden ? "▸" : "▾"}`;
    };
    button.addEventListener("click", () => {
      flip("folded", id);
      apply();
    });
    apply();
    own.label.append(button);
    return box;
  }
}
