// What this browser remembers of how somebody likes the page: which clock comes first, what is folded away. Never anything of an archive
// beyond the names of what was folded.

import { keep, recall } from "./dom.js";

/** Each setting as it is until somebody changes it; what was kept in another shape is not believed. */
const USUAL = { clock: "utc", holesOnly: false, collapsed: [], folded: [], hinted: false, speed: 1, muted: false, cut: "rough" };
/** Names in a list: so that no browser's store is filled by channels that came and went. */
const MOST = 1000;
const known = new Map();
const listeners = [];

const key = (name) => `gapless-${name}`;
const isAlike = (value, usual) => typeof value === typeof usual && Array.isArray(value) === Array.isArray(usual);

/** What a setting is. */
export function setting(name) {
  if (known.has(name)) return known.get(name);
  let value = null;
  try {
    value = JSON.parse(recall("localStorage", key(name)));
  } catch {
    // It was kept by something else: the usual one holds.
  }
  known.set(name, value !== null && isAlike(value, USUAL[name]) ? value : USUAL[name]);
  return known.get(name);
}

/** Changes a setting, for this page and the next ones. */
export function change(name, value) {
  const kept = Array.isArray(value) ? value.slice(-MOST) : value;
  known.set(name, kept);
  keep("localStorage", key(name), JSON.stringify(kept));
  for (const listener of listeners) listener(name);
}

/** Calls `listener(name)` whenever a setting has changed. */
export const onChange = (listener) => listeners.push(listener);
