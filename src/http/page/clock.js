// Which time a place in a playlist is, and which place a time. Holes take up no room in a playlist: what is behind one follows at once.

/** The last fragment for which `isBefore` holds, of fragments in order; the first one where it holds for none. */
function last(fragments, isBefore) {
  let [low, high] = [0, fragments.length - 1];
  while (low < high) {
    const middle = Math.ceil((low + high) / 2);
    if (isBefore(fragments[middle])) low = middle;
    else high = middle - 1;
  }
  return fragments[low] ?? null;
}

/** When a fragment ends, in milliseconds since 1970. */
const end = (fragment) => fragment.programDateTime + fragment.duration * 1000;

/** The time that is shown at a place, in milliseconds since 1970. */
export function timeAt(fragments, place) {
  const fragment = last(fragments, ({ start }) => start <= place);
  if (!fragment?.programDateTime) return null;
  return fragment.programDateTime + Math.min(Math.max(place - fragment.start, 0), fragment.duration) * 1000;
}

/** The place at which a time is shown, in seconds; what lies in a hole is the beginning of what comes behind it. Nothing before and after. */
export function placeOf(fragments, at) {
  const begins = fragments[0]?.programDateTime;
  if (!begins || at >= end(fragments.at(-1))) return null;
  const before = last(fragments, ({ programDateTime }) => programDateTime <= at);
  const fragment = at < end(before) ? before : fragments[fragments.indexOf(before) + 1];
  return fragment.start + Math.max(0, at - fragment.programDateTime) / 1000;
}

/** From when to when a list goes, in milliseconds since 1970. */
export const extentOf = (fragments) => (fragments.length ? { from: fragments[0].programDateTime, to: end(fragments.at(-1)) } : null);
