// Asks this node, and no other. Where reading wants a token, whoever looks is asked for it once; it is kept until the tab is closed.

import { byId } from "./dom.js";

const KEPT = "gapless-token";

/** What a node answered instead of what was asked: its own words. */
export class Refused extends Error {
  constructor(status, words) {
    super(words);
    this.status = status;
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
    if (known) byId("ask-why").textContent = "That token is not one of those that are known here. Try another one.";
    input.value = "";
    dialog.addEventListener("close", () => {
      asking = null;
      if (input.value.trim()) sessionStorage.setItem(KEPT, input.value.trim());
      input.value = "";
      done();
    }, { once: true });
    if (!dialog.open) dialog.showModal();
  });
  return asking;
}

/** Sends a request until it is allowed. */
async function send(address, signal) {
  for (;;) {
    const token = sessionStorage.getItem(KEPT);
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const response = await fetch(address, { headers, signal, cache: "no-store", credentials: "omit" });
    if (response.status !== 401) return response;
    // Another one may have been given meanwhile.
    if (sessionStorage.getItem(KEPT) === token) await askForToken(token !== null);
  }
}

/** The JSON at this address. */
export async function get(address, signal) {
  const response = await send(address, signal);
  if (response.ok) return response.json();
  let words = `${response.status} ${response.statusText}`;
  try {
    words = (await response.json()).detail ?? words;
  } catch {
    // No problem document: the status has to do.
  }
  throw new Refused(response.status, words);
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

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Listens for ever to what the node tells. `tell(event, data)` is called for each event, and with "connected" and "away" when the
 * line is there and when it is not. Read by hand, because EventSource cannot send a token.
 */
export async function listen(tell) {
  let wait = 500;
  for (;;) {
    try {
      const response = await send("/api/v1/events");
      if (!response.ok) throw new Refused(response.status, response.statusText);
      wait = 500;
      tell("connected", null);
      await read(response.body, tell);
    } catch {
      // Told below, whatever it was: the node is away, or it ends.
    }
    tell("away", null);
    await pause(wait);
    wait = Math.min(wait * 2, 15000);
  }
}

async function read(body, tell) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read();
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
