// How the node is, at the top of the timelines: all well, or what is wrong with it; and why nothing is shown where that is so.

import { get, path } from "./api.js";
import { hideAway, showAway, whyAway } from "./away.js";
import { byId, fill, make, say } from "./dom.js";
import { emptiness, inShort, isProblem, problemItem } from "./problems.js";
import { setting } from "./settings.js";
import { counted } from "./time.js";

/** Problems that are listed here; the status page has them all. */
const MOST = 20;

/** What is said of the node. `known()` are its streams. */
export class Health {
  constructor(rows, known) {
    Object.assign(this, { rows, known, status: null, isAway: false });
  }

  async ask() {
    this.status = await get(path("status"));
    this.say();
    this.sayEmpty(this.status);
  }

  /** Whether there is any video, as far as that is known. */
  get isThere() {
    return this.known().some((stream) => stream.video) && (!this.status || this.status.streams.some((stream) => stream.segments > 0));
  }

  /** What the node says of itself. */
  say() {
    const { status } = this;
    if (!status || this.isAway) return;
    const found = status.problems;
    const problems = found.filter(isProblem);
    const isGood = problems.length === 0 && status.ready && this.isThere;
    const words = problems.length ? counted(problems.length, "problem") : !status.ready ? "catching up" : this.isThere ? "all well" : "no video yet";
    const element = byId("health");
    say(element, words);
    element.title = problems.map(inShort).join("\n");
    element.dataset.state = isGood ? "good" : problems.length ? "bad" : "busy";
    element.dataset.level = problems.some(({ level }) => level === "error") ? "error" : "warning";
    byId("problems").hidden = problems.length === 0;
    if (problems.length === 0) return;
    const more = found.length > 1 ? ` (and ${found.length - 1} more)` : "";
    say(byId("problems-first"), problems[0].what + more);
    fill(byId("problems-all"), ...found.slice(0, MOST).map(problemItem), make("li", {}, make("a", { href: "/status" }, "The status page has the details")));
  }

  /** What stands where there is no video. */
  sayEmpty(list) {
    const { isThere } = this;
    if (byId("note").hidden !== isThere) byId("welcome").hidden = !isThere || setting("hinted");
    byId("note").hidden = isThere;
    if (!isThere) fill(byId("note"), ...emptiness(list, this.status));
  }

  /** It does not answer, for this reason if there is one; it is asked again in `wait` ms. */
  sayAway(failure, wait) {
    this.isAway = true;
    byId("health").dataset.state = "away";
    say(byId("health"), failure?.status ? "not available" : "no connection");
    if (failure) showAway(whyAway(failure), wait, this.rows.all.length > 0);
  }

  sayThere() {
    this.isAway = false;
    hideAway();
  }
}
