// The pages of a reading: pictures with boxes on the left, text on the right, each block tied to its box.

import { isFurniture, nameOf, render } from "./blocks.js";
import { byId, make, plural } from "./dom.js";
import { Pictures } from "./pictures.js";

const HOVER = 90; // milliseconds that the pointer rests before the other side moves

/** Shows one reading at a time. */
export class Viewer {
  #left = byId("pictures");
  #text = byId("text");
  #markdown = byId("markdown");
  #pages = new Map(); // number -> {sheet, frame, page, source, read}
  #document = null;
  #reading = null;
  #pictures = null;
  #lit = [];
  #hover = null;
  #pointedAt = undefined; // the key of what the pointer is on

  constructor(panes) {
    this.panes = panes;
    for (const side of [this.#left, this.#text]) {
      // Moves, not entries: what scrolls by under a resting pointer is not pointed at.
      side.addEventListener("pointermove", (event) => this.#pointed(side, event), { passive: true });
      side.addEventListener("pointerleave", () => this.#leftAlone());
      side.addEventListener("focusin", (event) => this.#focused(side, event.target));
      side.addEventListener("keydown", (event) => this.#key(side, event));
      side.addEventListener("click", (event) => this.#clicked(side, event));
    }
    addEventListener("resize", () => this.#pictures?.refresh());
  }

  /** Show a reading of a document; pictures stay while the document is the same. */
  show(found, reading) {
    if (this.#document !== found) this.#begin(found);
    if (this.#reading !== reading) {
      this.#reading = reading;
      this.#light(null);
      for (const page of this.#pages.values()) page.read = null;
    }
    this.update();
  }

  /** Show what came since. */
  update() {
    const reading = this.#reading;
    if (!reading) return;
    for (const number of reading.numbers) if (!this.#pages.has(number)) this.#add(number);
    for (const [number, page] of this.#pages) {
      const read = reading.pages.get(number) ?? String(reading.heard);
      if (page.read === read) continue;
      page.read = read;
      if (typeof read === "string") this.#wait(number, page);
      else this.#fill(number, page, read);
    }
    this.#rove(this.#left, null);
    this.#rove(this.#text, null);
  }

  #begin(found) {
    this.#pictures?.close();
    for (const side of [this.#left, this.#text, this.#markdown]) side.replaceChildren();
    this.#pages.clear();
    this.#reading = null;
    this.#document = found;
    this.#pictures = new Pictures(this.#left, (number, width) =>
      [this.#reading, ...found.readings].find(({ id }) => id)?.path(`/pages/${number}/image?width=${width}`));
    this.panes.reset();
  }

  /** A place for a page, in order. */
  #add(number) {
    const frame = make("div", { class: "frame", "data-number": number });
    const sheet = make("section", { class: "sheet", "data-number": number, ...group(`Picture of page ${number}`) },
      make("p", { class: "folio", text: `Page ${number}` }), frame);
    const page = make("section", { class: "page", "data-number": number, ...group(`Page ${number}`) });
    const source = make("section", { class: "page", "data-number": number, ...group(`Page ${number}`) });
    const after = [...this.#pages.keys()].find((other) => other > number);
    const parts = { sheet, page, source };
    const sides = { sheet: this.#left, page: this.#text, source: this.#markdown };
    for (const [name, side] of Object.entries(sides)) {
      side.insertBefore(parts[name], after === undefined ? null : this.#pages.get(after)[name]);
    }
    this.#pages.set(number, { ...parts, frame, read: null });
    if (after !== undefined) this.#pages = new Map([...this.#pages].sort(([a], [b]) => a - b));
    frame.addEventListener("picture", ({ detail }) => crops(page, detail.url));
    this.#pictures.watch(frame);
  }

  /** A page that is not read (yet). */
  #wait(number, { frame, page, source }) {
    const text = this.#reading.heard ? `Page ${number} was not read.` : `Page ${number} is waiting to be read.`;
    page.replaceChildren(folio(number), make("p", { class: "notice", text }));
    source.replaceChildren(folio(number), make("p", { class: "notice", text }));
    for (const box of frame.querySelectorAll(".box")) box.remove();
  }

  #fill(number, { sheet, frame, page, source }, read) {
    if (read.width > 0 && read.height > 0) {
      frame.style.aspectRatio = `${read.width} / ${read.height}`;
      frame.style.setProperty("--ratio", String(read.height / read.width));
    }
    for (const box of frame.querySelectorAll(".box")) box.remove();
    const areas = read.blocks.map(({ box_999: [x0, y0, x1, y1] }) => (x1 - x0) * (y1 - y0));
    const larger = (area) => areas.filter((other) => other > area).length; // a small box lies above a large one
    frame.append(...read.blocks.flatMap((block, index) =>
      areas[index] > 0 ? [box(block, `${number}:${index}`, larger(areas[index]))] : []));
    page.replaceChildren(folio(number, read, this.#reading.mode), ...notices(read), ...read.blocks.map((block, index) =>
      text(block, number, index)));
    page.classList.toggle("failed", read.status === "failed");
    sheet.classList.toggle("failed", read.status === "failed");
    source.replaceChildren(folio(number, read, this.#reading.mode), make("pre", {}, make("code", { text: read.markdown })));
    if (read.rotation && page.dataset.turned !== String(read.rotation)) this.#pictures.renew(frame); // it lies as scanned
    page.dataset.turned = read.rotation;
    const picture = frame.querySelector("img");
    if (picture) crops(page, picture.src);
  }

  #pointed(side, event) {
    if (event.pointerType === "touch") return;
    const key = event.target.closest("[data-key]")?.dataset.key;
    if (key === this.#pointedAt) return;
    clearTimeout(this.#hover);
    this.#pointedAt = key;
    if (!key) return;
    this.#light(key);
    const reveal = () => {
      if (this.panes.moving) this.#hover = setTimeout(reveal, HOVER);
      else this.#reveal(side, key);
    };
    this.#hover = setTimeout(reveal, HOVER);
  }

  #leftAlone() {
    clearTimeout(this.#hover);
    this.#pointedAt = undefined;
    const focused = document.activeElement?.closest?.("[data-key]");
    this.#light(focused?.dataset.key ?? null);
  }

  #focused(side, target) {
    const element = target.closest("[data-key]");
    if (!element) return;
    this.#rove(side, element);
    this.#light(element.dataset.key);
    this.#reveal(side, element.dataset.key);
  }

  #clicked(side, event) {
    const element = event.target.closest("[data-key]");
    if (element && getSelection().isCollapsed) element.focus({ preventScroll: true });
  }

  /** Light a block and its box. */
  #light(key) {
    for (const element of this.#lit) element.classList.remove("lit");
    this.#lit = key ? this.#pair(key) : [];
    for (const element of this.#lit) element.classList.add("lit");
  }

  /** Bring the other side's half into view. */
  #reveal(side, key) {
    const other = side === this.#left ? this.#text : this.#left;
    const half = this.#pair(key).find((element) => other.contains(element));
    if (half && !other.hidden) this.panes.reveal(other, half);
  }

  #pair(key) {
    const parts = this.#pages.get(Number(key.split(":")[0]));
    return [parts.frame, parts.page].flatMap((side) => [...side.querySelectorAll(`[data-key="${key}"]`)]);
  }

  /** One stop of the Tab key in each side: the block where the reader was, else the first. */
  #rove(side, element) {
    const now = side.querySelector('[data-key][tabindex="0"]');
    if (!element && now) return;
    now?.setAttribute("tabindex", "-1");
    (element ?? side.querySelector("[data-key]"))?.setAttribute("tabindex", "0");
  }

  #key(side, event) {
    const here = event.target.closest("[data-key]");
    if (!here || event.altKey || event.ctrlKey || event.metaKey) return;
    const goal = this.#goal(side, here, event.key);
    if (!goal) return;
    event.preventDefault();
    goal.focus({ preventScroll: true });
    if (goal !== side) this.panes.reveal(side, goal);
    else this.#light(null);
  }

  /** Where a key leads from a block. */
  #goal(side, here, key) {
    const all = [...side.querySelectorAll("[data-key]")];
    const place = all.indexOf(here);
    const number = here.dataset.key.split(":")[0];
    const onPage = (element) => element.dataset.key.split(":")[0] !== number;
    switch (key) {
      case "ArrowDown": case "ArrowRight": return all[place + 1];
      case "ArrowUp": case "ArrowLeft": return all[place - 1];
      case "Home": return all[0];
      case "End": return all.at(-1);
      case "PageDown": return all.slice(place).find(onPage);
      case "PageUp": return all.slice(0, place).findLast(onPage);
      case "Enter": return this.#pair(here.dataset.key).find((element) => !side.contains(element));
      case "Escape": return side;
      default: return null;
    }
  }
}

/** Not a landmark: of those there would be too many. */
function group(label) {
  return { role: "group", "aria-label": label };
}

function folio(number, read = null, mode = "") {
  const told = [];
  if (read?.plan?.vision_tokens) told.push(plural(read.plan.vision_tokens, "vision token"));
  if (read?.mode && mode && read.mode !== mode) told.push(`read in ${read.mode}`);
  if (read?.attempts.length > 1) told.push(`${read.attempts.length} tries`);
  return make("p", { class: "folio" }, make("span", { text: `Page ${number}` }), make("span", { text: told.join(" · ") }));
}

function notices(read) {
  const found = read.warnings.map((text) => make("p", { class: "notice warning", text }));
  if (read.status === "blank") found.unshift(make("p", { class: "notice", text: `Page ${read.number} is blank.` }));
  if (read.status === "failed") {
    const why = `Page ${read.number} could not be read: ${read.error || "no reason was given"}`;
    found.unshift(make("p", { class: "notice bad", text: why }));
  }
  return found;
}

/** A block of the text. */
function text(block, number, index) {
  return make("div", {
    class: `block kind-${block.kind}${isFurniture(block) ? " dim" : ""}`, "data-key": `${number}:${index}`,
    "data-box": block.kind === "figure" ? block.box_999.join(" ") : null,
    tabindex: "-1", role: "group", "aria-label": `${nameOf(block.kind)}, page ${number}`,
  }, render(block), block.continues ? make("span", { class: "goes-on", text: "goes on below" }) : null);
}

/** A block's box on the picture. */
function box(block, key, above) {
  const [x0, y0, x1, y1] = block.box_999.map((value) => value / 9.99);
  const said = (block.text ?? "").replaceAll(/\s+/g, " ").trim();
  const found = make("button", {
    type: "button", class: `box kind-${block.kind}${isFurniture(block) ? " dim" : ""}`, "data-key": key, tabindex: "-1",
    "aria-label": said ? `${nameOf(block.kind)}: ${said.slice(0, 80)}` : nameOf(block.kind),
  });
  Object.assign(found.style, {
    left: `${x0}%`, top: `${y0}%`, width: `${x1 - x0}%`, height: `${y1 - y0}%`, zIndex: String(1 + above),
  });
  return found;
}

/** Figures show their part of the page's picture, while that is here. */
function crops(page, url) {
  for (const block of page.querySelectorAll("[data-box]")) {
    const figure = block.querySelector(".figure");
    const [x0, y0, x1, y1] = block.dataset.box.split(" ").map((value) => Number(value) / 999);
    const [width, height] = [x1 - x0, y1 - y0];
    if (!figure || width <= 0 || height <= 0) continue;
    const frame = byId("pictures").querySelector(`.frame[data-number="${page.dataset.number}"]`);
    const ratio = Number(frame.style.getPropertyValue("--ratio")) || 1.414;
    figure.classList.toggle("cropped", Boolean(url));
    Object.assign(figure.style, url ? {
      backgroundImage: `url("${url}")`, aspectRatio: `${width} / ${height * ratio}`,
      width: `${Math.min(100, width * 130)}%`,
      backgroundSize: `${100 / width}% ${100 / height}%`,
      backgroundPosition: `${width < 1 ? (100 * x0) / (1 - width) : 0}% ${height < 1 ? (100 * y0) / (1 - height) : 0}%`,
    } : { backgroundImage: "" });
  }
}
