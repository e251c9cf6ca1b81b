// What the node records: the list, and orders to start, stop, forget and test, with a token for writing.

import { get, mayNotWrite, path, post } from "./api.js";
import { byId, fill, keep, make, recall, say, table } from "./dom.js";
import { SECOND, bytes, counted, duration } from "./time.js";

/** The token for writing is kept under the same name as that of hiding. */
const KEPT = "gapless-write-token";

const STATES = { working: "good", waiting: "busy", "backing-off": "bad", stalled: "bad", ended: "bad" };

export class RecorderCard {
  constructor() {
    this.busy = false;
    byId("recorder-token").value = recall("sessionStorage", KEPT) ?? "";
    byId("recorder-form").addEventListener("submit", (event) => {
      event.preventDefault();
      this.start();
    });
    byId("recorder-test").addEventListener("click", () => this.test());
  }

  /** Asks for the list and draws it. */
  async look() {
    try {
      this.draw((await get(path("recorders"))).recorders);
    } catch (error) {
      fill(byId("recorders"), make("p", { class: "note" }, `Not available: ${error.message}`));
    }
  }

  draw(recorders) {
    const focused = document.activeElement?.dataset?.order;
    const lines = recorders.flatMap((recorder) => recorder.streams.map((stream, at) => this.line(recorder, stream, at)));
    const names = [["Channel", ""], ["Quality", ""], ["Source", "text"], ["State", ""], ["Activity", "text"], ["Last error", "text"], ["", ""]];
    fill(byId("recorders"), table(names, lines, "Nothing is recorded by this node."));
    // What was just drawn anew keeps the focus of whoever uses the keyboard.
    if (focused) [...byId("recorders").querySelectorAll("button")].find((button) => button.dataset.order === focused)?.focus();
  }

  line(recorder, stream, at) {
    const { channel, stopped } = recorder;
    const order = (name, what, title) => make("button", { type: "button", class: "plain", title, "data-order": `${name} ${channel}`, "aria-label": `${name} ${channel}`, onclick: what }, name);
    const orders = at > 0 ? [] : [
      stopped ? order("Start", () => this.send("start", { channel }), "Record this channel again") : order("Stop", () => this.send("stop", { channel }), "Record nothing more until it is started, also after a restart"),
      " ",
      recorder.in_settings ? null : order("Forget", () => this.send("stop", { channel, forget: true }), "Stop and keep nothing of the order; what was recorded stays"),
    ];
    return [
      make("strong", {}, channel), stream.quality,
      recorder.source + (recorder.in_settings ? " (settings)" : ""),
      make("span", {}, make("span", { class: `dot ${stopped ? "" : STATES[stream.state] ?? ""}` }), " ", stopped ? "stopped" : stream.state.replaceAll("-", " ")),
      stream.doing,
      stream.failures > 0 && !stopped ? stream.error ?? "–" : "–",
      make("span", { class: "orders" }, ...orders),
    ];
  }

  /** The form, as an order. */
  get written() {
    const qualities = byId("recorder-qualities").value.split(",").map((name) => name.trim()).filter(Boolean);
    return { channel: byId("recorder-channel").value.trim(), source: byId("recorder-source").value.trim(), qualities };
  }

  async start() {
    const order = this.written;
    if (await this.send("start", order)) {
      byId("recorder-source").value = "";
      fill(byId("recorder-found"));
    }
  }

  /** Sends an order; whether it was taken. */
  async send(order, body) {
    const done = await this.ask(order, body);
    if (!done) return false;
    this.note(order === "start" ? `${body.channel} is recorded.` : `${body.channel} is not recorded any more.`);
    await this.look();
    return true;
  }

  async test() {
    const { source } = this.written;
    if (!source) {
      byId("recorder-source").focus();
      return;
    }
    fill(byId("recorder-found"));
    this.note("Looking at the source for some seconds…");
    const found = await this.ask("test", { source });
    if (!found) return;
    const good = found.qualities.filter((quality) => !quality.problem).length;
    this.note(`${found.protocol}: ${counted(found.qualities.length, "quality", "qualities")}, ${good === found.qualities.length ? "all of which can be recorded" : `${good} of which can be recorded`}.`, good === 0);
    fill(byId("recorder-found"), table([["Quality", ""], ["Content", "text"], ["Playlist", "text"], ["Would write", "text"]], found.qualities.map(quality), "It offers nothing now."));
  }

  /** The answer to an order; null if there is none, and then it is said why. */
  async ask(order, body) {
    const token = byId("recorder-token").value.trim();
    if (!token) {
      byId("recorder-details").open = true;
      byId("recorder-token").focus();
      this.note("Orders need a token for writing.", true);
      return null;
    }
    if (this.busy) return null;
    this.busy = true;
    try {
      const answer = await post(path("recorders", order), body, token);
      keep("sessionStorage", KEPT, token);
      return answer;
    } catch (error) {
      this.note(mayNotWrite(error) ?? (error.status ? error.message : "No answer from this node."), true);
      return null;
    } finally {
      this.busy = false;
    }
  }

  note(words, bad = false) {
    byId("recorder-details").open ||= bad;
    byId("recorder-note").classList.toggle("trouble", bad);
    say(byId("recorder-note"), words);
  }
}

function quality({ name, is_source, is_sound, language, width, height, segment, playlist, problem }) {
  const size = segment?.width ?? width ? `${segment?.width ?? width}×${segment?.height ?? height}` : null;
  const rate = segment?.bits_per_second ? `${(segment.bits_per_second / 1e6).toFixed(1)} Mbit/s` : null;
  const content = [segment?.container, segment?.codecs, size, rate].filter(Boolean).join(", ");
  const lists = playlist ? `${counted(playlist.segments, "segment")}, window ${duration(playlist.window_seconds * SECOND)}, times ${playlist.tells_times ? "are told" : "are not told"}` : "–";
  const writes = problem ?? (segment ? `${segment.path} (${bytes(segment.bytes)})` : "–");
  const called = is_source && name !== "source" ? `source (${name})` : is_sound && language ? `${name} (${language})` : name;
  return [make("strong", {}, called), content || "–", lists, make("span", { class: problem ? "trouble" : "" }, writes)];
}
