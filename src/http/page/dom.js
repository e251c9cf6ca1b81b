// Makes elements. Text is always text: nothing that a node, a peer or an archive is called is ever read as markup.

/** The element with this id. */
export const byId = (id) => document.getElementById(id);

/**
 * An element. Properties that begin with "on" are listeners, "class", "data-…", "aria-…", "role" and the like are attributes.
 * Children are elements or text; null and false are left out.
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  put(element, ...children);
  return element;
}

/** Adds children. */
export function put(element, ...children) {
  for (const child of children.flat()) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : document.createTextNode(String(child)));
  }
}

/** Replaces all children. */
export function fill(element, ...children) {
  element.replaceChildren();
  put(element, ...children);
}

/** A table by the names and classes of its columns; without lines, what that means. */
export function table(names, lines, empty) {
  if (!lines.length) return make("p", { class: "note" }, empty);
  const heads = names.map(([name, kind]) => make("th", { scope: "col", class: kind }, name));
  const cells = (line) => line.map((value, at) => make("td", { class: names[at][1] }, value));
  return make("table", {}, make("thead", {}, make("tr", {}, ...heads)), make("tbody", {}, ...lines.map((line) => make("tr", {}, ...cells(line)))));
}

/** Words with what stands between backticks as code: commands are written so in what a node says. */
export const coded = (words) => words.split(/`([^`]+)`/).map((part, at) => (at % 2 ? make("code", {}, part) : part));

/** Sets the text only if it is another one, so that nothing is drawn or read out again. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** What is kept while the page is there, where the browser may not keep anything. */
const memory = new Map();

/** What was kept under a name in `localStorage` or `sessionStorage`. Where those are forbidden, asking for them throws. */
export function recall(storage, name) {
  if (memory.has(name)) return memory.get(name);
  try {
    return window[storage].getItem(name);
  } catch {
    return null;
  }
}

/** Keeps a text under a name. */
export function keep(storage, name, text) {
  memory.set(name, text);
  try {
    window[storage].setItem(name, text);
  } catch {
    // It is kept while the page is there.
  }
}

/** Calls `work` once, `wait` ms after the last call. */
export function afterwards(wait, work) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(work, wait);
  };
}

/** Calls `work` at once and at most every `wait` ms, and once more at the end if it was called meanwhile. */
export function atMost(wait, work) {
  let timer = 0;
  let again = false;
  return function call() {
    if (timer) {
      again = true;
      return;
    }
    again = false;
    timer = setTimeout(() => {
      timer = 0;
      if (again) call();
    }, wait);
    work();
  };
}
