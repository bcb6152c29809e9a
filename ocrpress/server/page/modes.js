// The slider of modes: what each costs in vision tokens, and the choice of one.

import { get } from "./api.js";
import { byId, count, make, plural } from "./dom.js";

const SETTLING = 700; // a moved slider is taken at its word after so many milliseconds
const RETRY = 5000;
const NOTE = "Vision tokens of an A4 page. A document's own are counted once it is here.";
const A4 = "width=1240&height=1754"; // pixels, at 150 dpi: what is told before there is a document

/** The slider; `chosen(mode)` is called when it was moved and has settled. */
export class Modes {
  #input = byId("mode");
  #rows = []; // {mode, vision, sequence}: the modes that the engine reads, and what an A4 page costs
  #costs = new Map(); // mode -> {vision, sequence} of the document, as far as it is known
  #pages = 0; // that these are of
  #job = null;
  #timer = null;
  #mode = "";
  #read = () => [];

  constructor(chosen) {
    this.#input.addEventListener("input", () => this.#moved(chosen));
    this.#input.addEventListener("keydown", (event) => {
      if (event.key === "Escape") this.set(this.#mode);
    });
    byId("costs").addEventListener("click", (event) => {
      const place = [...byId("costs").children].indexOf(event.target.closest("li"));
      if (place < 0 || this.#input.disabled) return;
      this.#input.value = String(place);
      this.#moved(chosen);
    });
  }

  /** The mode at which the slider stands. */
  get mode() {
    return this.#rows[Number(this.#input.value)]?.mode ?? this.#mode;
  }

  /** Ask which modes the engine reads, and what a page costs in each. Gives what the service says. */
  async table() {
    const said = await get(`v1/modes?${A4}`);
    this.#rows = said.modes.filter(({ readable }) => readable !== false).map(({ mode, plan }) => ({ mode, ...cost(plan) }));
    if (!this.#rows.some(({ mode }) => mode === this.#mode)) this.#mode = said.default ?? this.#rows[0]?.mode ?? "";
    this.#build();
    return said;
  }

  /** Tell what the modes cost the document of this job; without one, a page. */
  async load(job = null) {
    if (this.#job === job) return;
    this.#job = job;
    this.#costs = new Map();
    this.#pages = 0;
    this.#build();
    if (!job) return;
    const said = await get(`v1/jobs/${encodeURIComponent(job)}/modes`).catch((problem) => {
      if (problem.passing) setTimeout(() => this.#again(job), RETRY);
      return { modes: [] }; // the page's costs stay
    });
    if (this.#job !== job) return; // another document is shown by now
    this.#costs = new Map(said.modes.map((row) => [row.mode, cost(row)]));
    this.#pages = said.pages ?? 0;
    this.#build();
  }

  #again(job) {
    if (this.#job !== job) return;
    this.#job = null;
    this.load(job);
  }

  /** Set it to a mode, as something that was said elsewhere. */
  set(mode) {
    clearTimeout(this.#timer);
    this.#mode = mode || this.#mode;
    const place = this.#rows.findIndex((row) => row.mode === this.#mode);
    if (place >= 0) this.#input.value = String(place);
    this.#show();
  }

  /** Mark the modes that the document was read in; `read()` gives their names. */
  mark(read) {
    this.#read = read;
    this.#show();
  }

  #moved(chosen) {
    clearTimeout(this.#timer);
    this.#show();
    const { mode } = this.#rows[Number(this.#input.value)];
    if (mode === this.#mode) return;
    this.#timer = setTimeout(() => {
      this.#mode = mode;
      chosen(mode);
    }, SETTLING);
  }

  #at(place) {
    const row = this.#rows[place];
    return row && { ...row, ...this.#costs.get(row.mode) };
  }

  #build() {
    const rows = this.#rows.map((_, place) => this.#at(place));
    const most = Math.max(1, ...rows.map(({ vision }) => vision));
    byId("modes").hidden = rows.length === 0;
    this.#input.max = String(Math.max(0, rows.length - 1));
    this.#input.disabled = rows.length < 2;
    byId("modes").style.setProperty("--count", String(Math.max(1, rows.length)));
    byId("modes-note").textContent = this.#pages ? "" : NOTE;
    byId("costs").replaceChildren(...rows.map(({ mode, vision }) => {
      const bar = make("span", { class: "cost-bar", "aria-hidden": "true" });
      bar.style.setProperty("--share", String(vision / most));
      return make("li", { "data-mode": mode },
        bar,
        make("span", { class: "mode-name", text: mode }),
        make("span", { class: "tokens", text: vision ? brief(vision) : "–" }),
        make("span", { class: "unseen", text: vision ? " vision tokens" : " reads pixels, no vision tokens" }),
      );
    }));
    this.set(this.#mode);
  }

  #show() {
    const row = this.#at(Number(this.#input.value));
    if (!row) return;
    const read = new Set(this.#read());
    for (const item of byId("costs").children) {
      item.classList.toggle("now", item.dataset.mode === row.mode);
      item.classList.toggle("read", read.has(item.dataset.mode));
    }
    const pages = this.#pages ? `for ${plural(this.#pages, "page")}` : "an A4 page";
    const text = row.vision
      ? `${count(row.vision)} vision tokens ${pages}, ${count(row.sequence)} in the decoder's sequence`
      : "reads pixels directly, no vision tokens";
    this.#input.setAttribute("aria-valuetext", `${row.mode}: ${text}${read.has(row.mode) ? ", read" : ""}`);
    byId("cost").replaceChildren(make("strong", { text: row.mode }), ` ${text}`);
  }
}

/** {vision, sequence} of a plan, or of the sum of a document's plans. */
function cost({ vision_tokens: vision = 0, sequence_tokens: sequence = 0 }) {
  return { vision, sequence };
}

/** "1.2k", "34k", "1.2M": the exact figure stands above. */
function brief(number) {
  if (number < 1000) return String(number);
  const [value, unit] = number < 999_500 ? [number / 1e3, "k"] : [number / 1e6, "M"];
  return `${value < 9.95 ? value.toFixed(1) : Math.round(value)}${unit}`;
}
