// Which rows are shown where there are many: those whose channel is named as somebody types, those with holes alone, and channels folded away.

import { afterwards, byId, say } from "./dom.js";
import { change, setting } from "./settings.js";
import { Survey } from "./survey.js";
import { counted } from "./time.js";

/** Below so many rows of this node there is nothing to choose from. */
const FEW = 4;

/** The line above the timelines. */
export class RowFilter {
  /** `changed` is called when other rows are shown. */
  constructor(rows, view, changed) {
    Object.assign(this, { rows, view, changed, shown: "" });
    this.text = byId("filter");
    this.holes = byId("only-holes");
    this.holes.checked = setting("holesOnly");
    this.survey = new Survey(view, afterwards(60, () => this.apply()));
    this.text.addEventListener("input", () => this.apply());
    this.text.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.text.value === "") return;
      event.stopPropagation();
      this.name("");
    });
    this.holes.addEventListener("change", () => {
      change("holesOnly", this.holes.checked);
      this.lookSoon();
    });
    byId("collapse").addEventListener("click", () => {
      rows.collapseAll(!rows.isCollapsed);
      this.apply();
    });
    byId("show-all").addEventListener("click", () => {
      this.holes.checked = false;
      change("holesOnly", false);
      this.name("");
    });
    this.lookSoon = afterwards(200, () => this.look());
    this.applySoon = afterwards(100, () => this.apply());
  }

  /** Shows the channels that are named so. */
  name(text) {
    this.text.value = text;
    this.apply();
  }

  /** What the address says of it. */
  hash() {
    const text = this.text.value.trim();
    return text ? `&${new URLSearchParams({ filter: text })}` : "";
  }

  /** Does what an address says. */
  read(hash) {
    this.name(new URLSearchParams(hash.replace(/^#/, "")).get("filter") ?? "");
  }

  /** Each word has to be in the name of the channel and quality, small or capital. */
  isNamed(row) {
    const name = `${row.stream.channel}/${row.stream.quality}`.toLowerCase();
    return this.text.value.toLowerCase().split(/\s+/).every((word) => name.includes(word));
  }

  /** Until it is known again, a row stays as it was: else it would come and go with every segment that is recorded. */
  hasHole(row) {
    row.hadHole = this.survey.hasHole(row) ?? row.hadHole ?? false;
    return row.hadHole;
  }

  /** Asks which rows have holes, where that matters; what is shown, or what there is, has changed. */
  look() {
    if (this.holes.checked) this.survey.ask(this.rows.own.filter((row) => this.isNamed(row)));
    else this.survey.stop();
    this.apply();
  }

  /** Shows the rows that are to be shown. */
  apply() {
    const { rows } = this;
    const isOnly = this.holes.checked;
    const own = rows.own.length;
    const count = rows.filter((row) => this.isNamed(row) && (!isOnly || this.hasHole(row)));
    byId("filters").hidden = own < FEW && !this.text.value && !isOnly;
    say(byId("collapse"), rows.isCollapsed ? "Expand all" : "Collapse all");
    const all = `${counted(rows.channels.length, "channel")}, ${counted(own, "row")}`;
    const some = `${count.channels} of ${counted(rows.channels.length, "channel")}, ${count.rows} of ${counted(own, "row")}`;
    const asking = isOnly && this.survey.left > 0 ? `; looking for holes in ${this.survey.left} more` : "";
    say(byId("filter-note"), (count.rows === own ? all : some) + asking);
    byId("none").hidden = own === 0 || count.rows > 0 || asking !== "";
    say(byId("none-why"), isOnly ? "No row that fits has a hole in what is shown." : "No channel is named like that.");
    const signature = `${this.text.value} ${count.channels} ${count.rows}`;
    if (signature !== this.shown) this.changed();
    this.shown = signature;
  }
}
