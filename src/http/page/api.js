// Asks this node, and no other. Where reading wants a token, whoever looks is asked for it once; it is kept until the tab is closed.

import { byId, keep, recall } from "./dom.js";

const KEPT = "gapless-token";
/** A comment comes every 15 seconds: a line that is silent for longer is dead, even where nobody has said so. */
const SILENCE = 45000;

/** What a node answered instead of what was asked: its own words. */
export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
  }

  /** How far the index has come, where that is why there is no answer yet; nothing where it is not. */
  get progress() {
    if (this.status !== 503 || !/catching up/.test(this.message)) return null;
    const [, done, total] = /(\d+) of (\d+) hours/.exec(this.message) ?? [];
    return total > 0 ? `catching up with the disk: ${done} of ${total} hours` : "catching up with the disk";
  }
}

/** A path in which every part is encoded. */
export const path = (...parts) => "/api/v1/" + parts.map(encodeURIComponent).join("/");

/** A query of what is given. */
export const query = (values) => "?" + new URLSearchParams(values).toString();

let asking = null;

/** Asks for the token; everybody who needs one waits for the same answer. */
function askForToken(known) {
  asking ??= new Promise((done) => {
    const dialog = byId("ask");
    const input = byId("token");
    if (known) {
      byId("ask-why").textContent = "This node does not accept that token. Use one from the file that its --read-tokens names.";
      byId("ask-why").className = "trouble";
      byId("ask-why").setAttribute("role", "alert");
    }
    input.value = "";
    dialog.addEventListener("close", () => {
      asking = null;
      if (input.value.trim()) keep("sessionStorage", KEPT, input.value.trim());
      input.value = "";
      done();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
  return asking;
}

/** Whether a token is sent with each question: what the browser asks for by itself, such as a link, goes without one. */
export const hasToken = () => recall("sessionStorage", KEPT) !== null;

/** Sends a request until it is allowed. */
export async function send(address, signal, method = "GET") {
  for (;;) {
    const token = recall("sessionStorage", KEPT);
    // The page may load nothing from other nodes.
    const headers = { "Gapless-Redirect": "no", ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const response = await fetch(address, { method, headers, signal, cache: "no-store", credentials: "omit" });
    if (response.status !== 401) return response;
    // Another one may have been given meanwhile.
    if (recall("sessionStorage", KEPT) === token) await askForToken(token !== null);
  }
}

/** The JSON at this address. */
export async function get(address, signal) {
  const response = await send(address, signal);
  if (response.ok) return response.json();
  throw await refusal(response);
}

/** Sends an order as JSON, with the token for writing that whoever looks has given for it; the JSON of the answer. */
export async function post(address, order, token) {
  const headers = { Authorization: `Bearer ${token}`, "Content-Type": "application/json" };
  const response = await fetch(address, { method: "POST", headers, body: JSON.stringify(order), cache: "no-store", credentials: "omit" });
  if (response.ok) return response.json();
  throw await refusal(response);
}

/** Which token would do, where an order was refused because of the one that was sent; null where that is not why. */
export function mayNotWrite(error) {
  if (error.status !== 401 && error.status !== 403) return null;
  const advice = "Use one from the file that this node's --write-tokens names; if it has none, start it with one";
  return error.status === 403 ? `This token may not write, only read. ${advice}.` : `This token may not write. ${advice}.`;
}

/** Why it was refused, in the words of the node. */
export async function refusal(response) {
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // No problem document: the status has to do.
  }
  const refused = new Refused(response.status, problem.detail ?? `${response.status} ${response.statusText}`);
  refused.problem = problem;
  return refused;
}

/** Everything of a list that comes in pages, up to so many of them. */
export async function pages(address, values, field, most, signal) {
  const all = [];
  let from = values.from;
  for (let page = 0; page < most; page += 1) {
    const answer = await get(address + query({ ...values, from }), signal);
    all.push(...answer[field]);
    if (!answer.next) return { all, complete: true };
    from = answer.next;
  }
  return { all, complete: false };
}

let hurry = () => {};
/** Waits, unless somebody does not want to. */
export const pause = (ms) => new Promise((done) => {
  hurry = done;
  setTimeout(done, ms);
});
/** Asks again at once. */
export const tryNow = () => hurry();

/** Waits until somebody looks at the page. */
const looked = () => new Promise((done) => {
  const look = () => {
    if (document.hidden) return;
    document.removeEventListener("visibilitychange", look);
    done();
  };
  document.addEventListener("visibilitychange", look);
  look();
});

/**
 * Listens to what the node tells, as long as somebody looks: a browser has six connections to a node, for all its tabs together.
 * `tell(event, data)` is called for each event, with "connected" and "away" when the line is there and when it is not, and with
 * "hidden" when it was given up because nobody looks. Read by hand, because EventSource cannot send a token.
 */
export async function listen(tell) {
  let wait = 500;
  for (;;) {
    await looked();
    const line = new AbortController();
    const leave = () => document.hidden && line.abort();
    document.addEventListener("visibilitychange", leave);
    let failure = null;
    try {
      const alive = alarm(SILENCE, () => line.abort());
      const response = await send("/api/v1/events", line.signal).finally(alive);
      if (!response.ok) throw await refusal(response);
      wait = 500;
      tell("connected", null);
      await read(response.body, tell, line);
    } catch (error) {
      failure = error;
    }
    document.removeEventListener("visibilitychange", leave);
    line.abort();
    tell(document.hidden ? "hidden" : "away", { failure, wait });
    if (document.hidden) continue;
    await pause(wait);
    wait = Math.min(wait * 2, 15000);
  }
}

/** Calls `work` after `wait` ms, unless the function that this returns is called before. */
function alarm(wait, work) {
  const timer = setTimeout(work, wait);
  return () => clearTimeout(timer);
}

/** Tells what comes over a line, until that ends or is silent for too long; whoever calls this gives the line up. */
async function read(body, tell, line) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const alive = alarm(SILENCE, () => line.abort());
    const { value, done } = await reader.read().finally(alive);
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) {
      const field = (name) => event.split("\n").find((line) => line.startsWith(name))?.slice(name.length);
      const name = field("event: ");
      if (name) tell(name, JSON.parse(field("data: ") ?? "{}"));
    }
  }
}
