// The band over the page while this node does not answer: since when and why, when it is asked again, and a button for whoever does not want
// to wait.

import { byId, say } from "./dom.js";
import { Refused, tryNow } from "./api.js";
import { SECOND } from "./time.js";
import { bare } from "./zone.js";

let since = null;
let due = 0;
let timer = 0;

const sentence = (words) => words.charAt(0).toUpperCase() + words.slice(1);

/** Why there was no answer, in a sentence. */
export const whyAway = (error) => (error instanceof Refused && error.status ? sentence(error.message.replace(/\s*Ask again in \d+ s\.$/, ""))
  : `No answer from ${location.host}. The node may be stopped or restarting, or the network between here and there is down.`);

function count() {
  const left = Math.ceil((due - Date.now()) / SECOND);
  say(byId("away-when"), left > 0 ? `Trying again in ${left} s.` : "Trying now…");
}

/** Shows it; it is asked again in `wait` ms. `isOld` says that something of before is still shown. */
export function showAway(words, wait, isOld) {
  since ??= Date.now();
  due = Date.now() + wait;
  byId("away").hidden = false;
  say(byId("away-why"), words + (isOld ? ` What is shown below is from ${bare(since).slice(11)} and before.` : ""));
  clearInterval(timer);
  timer = setInterval(count, SECOND / 2);
  count();
}

export function hideAway() {
  since = null;
  clearInterval(timer);
  byId("away").hidden = true;
}

byId("away-again").addEventListener("click", tryNow);
