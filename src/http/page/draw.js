// Draws a row: what is there, what only in part, what is missing. However little is missing, there is a mark that can be seen.

import { parse } from "./time.js";

const NAMES = ["full", "bucket", "partial", "hole", "void", "outside", "card"];
let colours = null;

/** The colours of the style sheet, as they are now. */
export function palette() {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    colours = Object.fromEntries(NAMES.map((name) => [name, style.getPropertyValue(`--${name}`).trim()]));
  }
  return colours;
}

/** Light has become dark, or the other way round. */
export function forgetPalette() {
  colours = null;
}

/** How many device pixels a pixel of the page has; more than two cannot be told apart. */
export const density = () => Math.min(window.devicePixelRatio || 1, 2);

/** Gives a canvas as many pixels as it is shown with; its context, with device pixels as its unit. */
export function sized(canvas) {
  const scale = density();
  const width = Math.max(1, Math.round(canvas.clientWidth * scale));
  const height = Math.max(1, Math.round(canvas.clientHeight * scale));
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  return { context: canvas.getContext("2d"), width, height, scale };
}

/** An answer with its times as numbers and the place of each run. */
export function prepared(answer) {
  const [from, to] = [parse(answer.from), parse(answer.to)];
  const step = (to - from) / answer.pixels;
  const extent = answer.extent && { start: parse(answer.extent.start), end: parse(answer.extent.end) };
  let pixel = 0;
  const runs = answer.runs.map(([count, missing, partial]) => {
    const run = { from: from + pixel * step, to: from + (pixel + count) * step, missing, partial };
    pixel += count;
    return run;
  });
  const inBucket = (answer.in_bucket ?? []).map(({ start, end }) => ({ from: parse(start), to: parse(end) }));
  return { from, to, step, extent, runs, inBucket };
}

/** The run at a time; null where nothing is known. */
export function runAt(timeline, at) {
  if (!timeline || at < timeline.from || at >= timeline.to) return null;
  let [low, high] = [0, timeline.runs.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (timeline.runs[middle].to <= at) low = middle + 1;
    else high = middle;
  }
  return timeline.runs[low] ?? null;
}

/** Whether a time lies in an hour of which files are in the bucket and not on the disk. */
export const isInBucket = (timeline, at) => timeline.inBucket.some(({ from, to }) => from <= at && at < to);

/** Runs with something missing that lie in a window, neighbours as one. */
export function missingRuns(timeline, from, to) {
  const found = [];
  for (const run of timeline?.runs ?? []) {
    if (run.missing <= 0 || run.to <= from || run.from >= to) continue;
    const last = found.at(-1);
    if (last && run.from - last.to < timeline.step / 2) last.to = run.to;
    else found.push({ from: run.from, to: run.to });
  }
  return found;
}

/** The pixels with something missing that lie in a window, latest first; where all of many is missing, those as one. */
export function missingPieces(timeline, from, to) {
  const pieces = [];
  for (const run of [...timeline.runs].reverse()) {
    if (run.missing <= 0 || run.to <= from || run.from >= to) continue;
    const count = run.missing === 1000 ? 1 : Math.max(1, Math.round((run.to - run.from) / timeline.step));
    const edge = (at) => run.from + ((run.to - run.from) * at) / count;
    for (let at = count; at > 0; at -= 1) {
      const piece = { from: Math.max(edge(at - 1), from), to: Math.min(edge(at), to) };
      if (piece.from < piece.to) pieces.push(piece);
    }
  }
  return pieces;
}

/**
 * Draws the part of a timeline that the window shows, wherever the timeline itself begins and ends: while a sharper one is on its
 * way, the one that is there is drawn as it fits.
 */
export function paint(canvas, timeline, view, thin = false) {
  const { context, width, height, scale } = sized(canvas);
  const colour = palette();
  const overhang = Math.round((thin ? 1 : 3) * scale);
  const [top, bottom] = [overhang, height - overhang];
  const tall = bottom - top;
  const x = (at) => Math.round(((at - view.from) / (view.to - view.from)) * width);
  context.clearRect(0, 0, width, height);
  context.fillStyle = colour.outside;
  context.fillRect(0, top, width, tall);
  if (!timeline) return 0;
  const marks = [];
  const bar = (style, left, right, from, until) => {
    context.fillStyle = style;
    context.fillRect(left, from, right - left, until - from);
  };
  for (const run of timeline.runs) {
    if (run.to <= view.from || run.from >= view.to) continue;
    const left = Math.max(x(run.from), -2);
    const right = Math.min(Math.max(x(run.to), left + 1), width + 2);
    if (run.missing >= 0 && run.missing < 1000) {
      bar(colour.full, left, right, top, bottom);
      for (const hours of timeline.inBucket) {
        const [begin, until] = [Math.max(left, x(hours.from)), Math.min(right, x(hours.to))];
        if (begin < until) bar(colour.bucket, begin, until, top, bottom);
      }
      // However short it was, it is seen.
      if (run.partial > 0) bar(colour.partial, left, right, bottom - share(tall, run.partial, 0.34), bottom);
    }
    if (run.missing > 0) marks.push({ left, right, missing: run.missing });
  }
  const narrow = 2 * scale;
  const shapes = marks.map(({ left, right, missing }) => {
    const wide = right - left;
    const spare = Math.max(0, Math.ceil((narrow - wide) / 2));
    const begin = missing === 1000 ? 0 : bottom - share(tall, missing, 0.4);
    return { left: left - spare, right: right + spare, from: begin, isLone: wide < narrow, isWide: missing === 1000 && wide >= 2 * narrow };
  });
  // A line of the ground on both sides sets a lone mark off from what is around it; no other mark is hidden by it.
  if (!thin) for (const shape of shapes) if (shape.isLone) bar(colour.card, shape.left - scale, shape.right + scale, shape.from, height);
  for (const { left, right, from, isWide } of shapes) {
    if (!isWide) {
      bar(colour.hole, left, right, from, height);
      continue;
    }
    const line = Math.max(1, Math.round(1.5 * scale));
    bar(colour.hole, left, right, top, bottom);
    bar(colour.void, left + line, right - line, top + line, bottom - line);
  }
  return marks.length;
}

/** How high a share stands: never lower than it can be seen. */
const share = (tall, perMille, least) => Math.round(tall * (least + (1 - least) * Math.sqrt(perMille / 1000)));
