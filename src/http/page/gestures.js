// What pointers and the wheel do over the timelines. The wheel alone is left to the page, which it scrolls as everywhere else: with Ctrl it
// zooms, which is also what two fingers on a pad say; sideways or with Shift it moves.

/** Listens over the timelines; `does` has `hover`, `unhover` and `choose`. */
export function gestures(lanes, view, does) {
  const pointers = new Map();
  let moved = 0;
  const timeAt = (track, x) => {
    const box = track.getBoundingClientRect();
    return view.from + ((x - box.left) / box.width) * view.span;
  };

  lanes.addEventListener("pointerdown", (event) => {
    const track = event.target.closest(".track, #axis");
    if (!track || event.button !== 0) return;
    pointers.set(event.pointerId, { x: event.clientX, track });
    moved = 0;
  });
  window.addEventListener("pointermove", (event) => {
    const known = pointers.get(event.pointerId);
    if (!known) {
      const track = event.target.closest?.(".track");
      if (track) does.hover(track.row, timeAt(track, event.clientX), event);
      else does.unhover();
      return;
    }
    // The end of a press is not told where a menu or another window took it.
    if (event.buttons === 0) {
      pointers.delete(event.pointerId);
      lanes.classList.remove("moving");
      return;
    }
    const others = [...pointers].filter(([id]) => id !== event.pointerId).map(([, each]) => each);
    const box = known.track.getBoundingClientRect();
    const by = event.clientX - known.x;
    if (others.length) {
      const [other] = others;
      const [before, after] = [Math.abs(known.x - other.x), Math.abs(event.clientX - other.x)];
      if (before > 4 && after > 4) view.zoom(before / after, timeAt(known.track, (event.clientX + other.x) / 2));
    } else if (by !== 0) {
      moved += Math.abs(by);
      if (moved > 3) {
        lanes.classList.add("moving");
        does.unhover();
        const time = (moved > 3 && moved - Math.abs(by) <= 3 ? Math.sign(by) * moved : by) * (view.span / box.width);
        view.set(view.from - time, view.to - time);
      }
    }
    known.x = event.clientX;
  });
  for (const end of ["pointerup", "pointercancel"]) {
    window.addEventListener(end, (event) => {
      pointers.delete(event.pointerId);
      lanes.classList.remove("moving");
    });
  }
  lanes.addEventListener("wheel", (event) => {
    const track = event.target.closest(".track, #axis");
    const isZoom = event.ctrlKey || event.metaKey || event.altKey;
    const isSideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!track || !(isZoom || isSideways)) return;
    event.preventDefault();
    const unit = [1, 16, track.clientWidth][event.deltaMode] ?? 1;
    // Two fingers that pinch say little at a time, a wheel much.
    const by = Math.max(-240, Math.min(240, event.deltaY * unit * (Math.abs(event.deltaY) < 20 ? 4 : 1)));
    if (isZoom) view.zoom(Math.exp(by * 0.0025), timeAt(track, event.clientX));
    else view.pan(((event.deltaX || event.deltaY) * unit) / track.clientWidth);
  }, { passive: false });
  lanes.addEventListener("click", (event) => {
    const track = event.target.closest(".track");
    if (track && moved <= 3) does.choose(track.row, timeAt(track, event.clientX));
  });
  lanes.addEventListener("dblclick", (event) => {
    const track = event.target.closest(".track");
    if (track) view.zoom(0.4, timeAt(track, event.clientX));
  });
  lanes.addEventListener("pointerleave", () => does.unhover());
}
