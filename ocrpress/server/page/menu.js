// The list of this session's documents, and what becomes of them.

import { byId, make, plural } from "./dom.js";
import { short } from "./status.js";

/** The list behind its button; `open(document)` shows one, `forget(document)` has it deleted. */
export class Menu {
  #button = byId("list-button");
  #list = byId("list");

  constructor({ open, forget }) {
    Object.assign(this, { open, forget });
    this.#button.addEventListener("click", () => this.toggle(this.#list.hidden));
    addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || this.#list.hidden) return;
      this.toggle(false);
      this.#button.focus();
    });
    addEventListener("pointerdown", ({ target }) => {
      if (!this.#list.contains(target) && target !== this.#button) this.toggle(false);
    });
  }

  toggle(open) {
    this.#list.hidden = !open;
    this.#button.setAttribute("aria-expanded", String(open));
  }

  /** Draw the documents, the latest first. */
  draw(all, current) {
    const focused = document.activeElement?.dataset?.row;
    this.#button.hidden = !all.length;
    this.#button.textContent = plural(all.length, "document");
    if (!all.length) this.toggle(false);
    byId("documents").replaceChildren(...all.toReversed().map((found) => this.#row(found, found === current)));
    if (focused) byId("documents").querySelector(`[data-row="${focused}"]`)?.focus();
  }

  #row(found, current) {
    const states = found.readings.map((one) => `${one.mode} ${short(one)}`).join(", ");
    return make("li", {},
      make("button", {
        type: "button", class: "plain row", "data-row": found.key, "aria-current": current ? "true" : null,
        onclick: () => this.open(found),
      }, make("span", { class: "row-name", text: found.name || "Document" }), make("span", { class: "quiet", text: states })),
      make("button", {
        type: "button", class: "plain", "data-row": `${found.key}-delete`, "aria-label": `Delete ${found.name || "Document"}`,
        title: "Delete it from the service", text: "×", onclick: () => this.forget(found),
      }));
  }
}
