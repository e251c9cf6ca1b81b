// Which key is meant for the timelines, which for the player, and which for what has the focus.

import { byId } from "./dom.js";

/** Keys of the timelines that mean the same wherever the focus is, but in a field. */
const EVERYWHERE = ["n", "p", "l", "+", "-"];

/** `keys` says what each key of the timelines does. */
export function listenToKeys(keys, { cursor, rows, hint, player, isExplained, close }) {
  document.addEventListener("keydown", (event) => {
    const { key, target } = event;
    if (key === "Escape" && isExplained()) {
      close();
      return;
    }
    const isElse = event.ctrlKey || event.metaKey || event.altKey || target.closest("input:not([type=range], [type=checkbox]), select, dialog");
    if (isElse) return;
    if (key === "/" && !byId("filters").hidden) {
      event.preventDefault();
      byId("filter").focus();
      return;
    }
    if (player.key(key)) {
      event.preventDefault();
      return;
    }
    const onControl = target.closest("button, a, input, summary, aside, .player");
    if (!Object.hasOwn(keys, key) || target.closest("input") || (onControl && !EVERYWHERE.includes(key))) return;
    if (!cursor.row) cursor.choose(rows.own.find((row) => row.seen) ?? null);
    if (!cursor.row) return;
    event.preventDefault();
    hint.hide();
    keys[key](event);
    cursor.say();
  });
}
