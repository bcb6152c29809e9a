// Two scrollers side by side that stay at the same page: the one that the reader moves leads, the other follows.
//
// Their children carry `data-number`, the page's number, and stand in the same order in both.

import { calm } from "./dom.js";

const RESTS = 350; // milliseconds after which a scroller that was moved counts as still
const FRAMES = 12; // in which a place that is far is looked for again
const HANDS = ["wheel", "touchmove", "pointerdown", "keydown"]; // by which a reader moves a scroller

/** A pair of scrollers; the second changes with the chosen tab. */
export class Panes {
  #leader = null; // what the reader moves; nothing, while something is brought into view
  #scrolled = 0;
  #goals = new Map(); // scroller -> the element that is brought into view

  constructor(left, rights) {
    Object.assign(this, { left, rights, right: rights[0] });
    for (const pane of [left, ...rights]) {
      for (const sign of HANDS) pane.addEventListener(sign, (event) => this.#take(pane, event), { passive: true });
      pane.addEventListener("scroll", () => this.#follow(pane), { passive: true });
    }
  }

  /** Another scroller takes the right side, at the page where the left one is. */
  choose(pane) {
    this.right = pane;
    align(this.left, pane);
  }

  /** Both at their beginning. */
  reset() {
    for (const pane of [this.left, ...this.rights]) pane.scrollTop = 0;
  }

  /** Whether the reader is scrolling: the sides then follow each other. */
  get moving() {
    return performance.now() - this.#scrolled < RESTS;
  }

  /** Bring an element of a scroller into view, if it is not. */
  reveal(pane, element) {
    this.#leader = null;
    this.#goals.set(pane, element);
    if (bring(pane, element) === "instant") requestAnimationFrame(() => this.#settle(pane, element, FRAMES));
  }

  /** Sections that were never shown have estimated heights: look again where they are drawn. */
  #settle(pane, element, frames) {
    if (!frames || this.#leader || this.#goals.get(pane) !== element) return;
    bring(pane, element);
    requestAnimationFrame(() => this.#settle(pane, element, frames - 1));
  }

  #take(pane, { type, target }) {
    // Within a block, a press points at it and keys step on; neither scrolls.
    if (target === pane || type === "wheel" || type === "touchmove") this.#leader = pane;
  }

  #follow(pane) {
    if (pane !== this.#leader) return;
    this.#scrolled = performance.now();
    align(pane, pane === this.left ? this.right : this.left);
  }
}

/** Scroll so that the element is in view; how that was done, or nothing where there was no need. */
function bring(pane, element) {
  const [inner, outer] = [element.getBoundingClientRect(), pane.getBoundingClientRect()];
  const fits = inner.height <= outer.height - 16;
  if (inner.top >= outer.top && (inner.bottom <= outer.bottom || (!fits && inner.top < outer.bottom - 40))) return "";
  const room = fits ? (outer.height - inner.height) / 3 : 8;
  const by = inner.top - outer.top - room;
  const far = Math.abs(by) > 2 * outer.height;
  const behavior = calm() || far ? "instant" : "smooth";
  pane.scrollBy({ top: by, behavior });
  return behavior;
}

/** Put `to` at the place where `from` is: the same page, and as far into it. */
function align(from, to) {
  if (!from.children.length || !to.children.length) return;
  const page = at(from);
  const share = (from.scrollTop - page.offsetTop) / Math.max(1, page.offsetHeight);
  const end = from.scrollTop + from.clientHeight >= from.scrollHeight - 2;
  const goal = to.querySelector(`:scope > [data-number="${page.dataset.number}"]`);
  if (end) to.scrollTop = to.scrollHeight;
  else if (goal) to.scrollTop = goal.offsetTop + share * goal.offsetHeight;
}

/** The child at the scroller's upper edge. */
function at(pane) {
  const pages = pane.querySelectorAll(":scope > [data-number]");
  let [low, high] = [0, pages.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (pages[middle].offsetTop <= pane.scrollTop + 1) low = middle;
    else high = middle - 1;
  }
  return pages[low] ?? pane.firstElementChild;
}
