// The order of names, as people count: desk-2 before desk-10, and the same with a capital letter.

const names = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

/** Compares two names; different ones are never equal. */
export const inOrder = (a, b) => names.compare(a, b) || (a < b ? -1 : a > b ? 1 : 0);
