// The tabs over the right side.

import { byId } from "./dom.js";

/** Tabs called `tab-NAME` over panels called `NAME`; `chosen(panel)` is told which is shown. */
export class Tabs {
  constructor(names, chosen) {
    Object.assign(this, { names, chosen, name: names[0] });
    for (const name of names) {
      byId(`tab-${name}`).addEventListener("click", () => this.choose(name));
      byId(`tab-${name}`).addEventListener("keydown", (event) => this.#key(event));
    }
  }

  choose(name) {
    this.name = name;
    for (const other of this.names) {
      const on = other === name;
      byId(other).hidden = !on;
      byId(`tab-${other}`).setAttribute("aria-selected", String(on));
      byId(`tab-${other}`).tabIndex = on ? 0 : -1;
    }
    this.chosen(byId(name));
  }

  #key(event) {
    const open = this.names.filter((name) => !byId(`tab-${name}`).disabled);
    const place = open.indexOf(this.name);
    const goal = {
      ArrowRight: open[(place + 1) % open.length], ArrowLeft: open.at(place - 1), Home: open[0], End: open.at(-1),
    }[event.key];
    if (!goal) return;
    event.preventDefault();
    this.choose(goal);
    byId(`tab-${goal}`).focus();
  }
}
