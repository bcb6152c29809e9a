// What another mode changes in the text: page by page, by words.

import { compare, tally } from "./diff.js";
import { byId, count, make, plural } from "./dom.js";

const AROUND = 12; // words of unchanged text that are shown on either side of a change
const SLICE = 24; // milliseconds of comparing before the page is let draw

/** The panel of changes between two readings of a document. */
export class Changes {
  #panel = byId("changes");
  #pair = [null, null];
  #pages = new Map(); // number -> {section, before, after, sum}
  #timer = null;
  #choose;

  /** `choose(reading)` is called when another reading is to be compared with. */
  constructor(choose) {
    this.#choose = choose;
  }

  /** Show what is changed from one reading to another; `others` are those that could be compared with. */
  show(before, after, others) {
    if (this.#pair[0] !== before || this.#pair[1] !== after) {
      this.#pair = [before, after];
      this.#pages.clear();
      this.#panel.replaceChildren();
    }
    byId("tab-changes").disabled = !before;
    if (!before) return;
    clearTimeout(this.#timer);
    this.#work(others);
  }

  /** Compare what came, in slices; then say what it comes to. */
  #work(others) {
    const [before, after] = this.#pair;
    const begun = performance.now();
    for (const number of after.numbers) {
      const [old, now] = [before.pages.get(number), after.pages.get(number)];
      const known = this.#pages.get(number);
      if (known && known.before === old && known.after === now) continue;
      this.#compare(number, old, now);
      if (performance.now() - begun > SLICE) {
        this.#timer = setTimeout(() => this.#work(others), 0);
        return;
      }
    }
    this.#sum(others);
  }

  #compare(number, before, after) {
    const known = this.#pages.get(number);
    const section = known?.section ?? make("section", {
      class: "page", "data-number": number, role: "group", "aria-label": `Changes of page ${number}`,
    });
    const both = before && after;
    const parts = both ? compare(before.text, after.text) : [];
    const sum = both ? tally(parts) : null;
    const changed = both && sum.gone + sum.new > 0;
    let told = both ? "no change" : "not read in both modes yet";
    if (changed) told = `${plural(sum.gone, "word")} gone, ${count(sum.new)} new`;
    section.replaceChildren(
      make("p", { class: "folio" }, make("span", { text: `Page ${number}` }), make("span", { text: told })),
      ...(changed ? paragraphs(parts) : []),
    );
    if (!known) {
      const next = [...this.#pages.keys()].filter((other) => other > number).sort((a, b) => a - b)[0];
      this.#panel.insertBefore(section, this.#pages.get(next)?.section ?? null);
    }
    this.#pages.set(number, { section, before, after, sum });
  }

  /** The line above: what the other mode costs, and what it changes. */
  #sum(others) {
    const [before, after] = this.#pair;
    const sums = [...this.#pages.values()].map(({ sum }) => sum).filter(Boolean);
    const all = (kind) => sums.reduce((total, sum) => total + sum[kind], 0);
    const changed = sums.filter((sum) => sum.gone + sum.new).length;
    const words = all("same") + all("gone");
    const share = words ? ` (${((100 * all("gone")) / words).toFixed(1)} %)` : "";
    const pages = plural(sums.length, "page");
    let text = sums.length ? `No word differs on ${pages}.` : "Nothing to compare yet.";
    if (changed) {
      const gone = `${count(all("gone"))} of ${plural(words, "word")}${share} are gone`;
      text = `${gone} and ${count(all("new"))} are new, on ${count(changed)} of ${pages}.`;
    }
    const select = make("select", { id: "against", onchange: () => this.#choose(others[select.selectedIndex]) },
      ...others.map((one) => make("option", { text: one.mode, selected: one === before })));
    const old = this.#panel.querySelector(".sum");
    if (old?.contains(document.activeElement)) {
      old.querySelector(".told").textContent = text; // the reader is choosing
      return;
    }
    old?.remove();
    this.#panel.prepend(make("div", { class: "sum" },
      make("p", {}, make("label", { for: "against", text: "From " }), select, " to ",
        make("strong", { text: after.mode }), bill(before, after)),
      make("p", { class: "told", text })));
  }
}

/** What both cost, if it is known. */
function bill(before, after) {
  const [old, now] = [before, after].map(({ job }) => job?.compression?.vision_tokens);
  if (!old || !now) return "";
  const share = Math.round((100 * (now - old)) / old);
  return ` · ${count(old)} → ${count(now)} vision tokens (${share > 0 ? "+" : share < 0 ? "−" : "±"}${Math.abs(share)} %)`;
}

/** The changes with the words around them. */
function paragraphs(parts) {
  const shown = [make("p", { class: "change" })];
  const say = (tag, words) => {
    for (const [index, run] of words.join(" ").split(/\s*\n{2,}\s*/).entries()) {
      if (index) shown.push(make("p", { class: "change" }));
      if (run) shown.at(-1).append(tag ? make(tag, { text: run }) : run, " ");
    }
  };
  parts.forEach(({ kind, words }, index) => {
    if (kind === "gone") say("del", words);
    else if (kind === "new") say("ins", words);
    else {
      const head = index ? words.slice(0, AROUND) : [];
      const tail = index < parts.length - 1 ? words.slice(-AROUND) : [];
      if (head.length + tail.length >= words.length) say("", words);
      else {
        say("", head);
        const left = plural(words.length - head.length - tail.length, "word");
        shown.at(-1).append(make("span", { class: "left-out", text: "…", title: left }), " ");
        say("", tail);
      }
    }
  });
  return shown.filter((paragraph) => paragraph.hasChildNodes());
}
