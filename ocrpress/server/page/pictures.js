// Pictures of pages: fetched with the token when they come near, freed when they are far.

import { call } from "./api.js";
import { make } from "./dom.js";

const WIDTHS = [480, 720, 1000, 1400, 2000]; // pixels: the steps that the service keeps
const MOST_KEPT = 12;
const AT_A_TIME = 2; // of six connections that a browser has to a host

/** Watches frames (elements with `data-number`) in a scroller; `path(number, width)` says where a picture is. */
export class Pictures {
  #watch;
  #near = new Set();
  #kept = new Map(); // frame -> {url, width}, the longest unused first
  #busy = new Map(); // frame -> AbortController
  #failed = new WeakMap();

  constructor(scroller, path) {
    this.path = path;
    this.#watch = new IntersectionObserver((entries) => this.#saw(entries), {
      root: scroller, rootMargin: "60% 0px",
    });
  }

  watch(frame) {
    this.#watch.observe(frame);
  }

  /** The frames changed their size, or pictures that failed may be there now. */
  refresh() {
    this.#failed = new WeakMap();
    this.#next();
  }

  /** The picture of a frame is another one now. */
  renew(frame) {
    this.#busy.get(frame)?.abort();
    this.#busy.delete(frame);
    this.#free(frame);
    this.#next();
  }

  close() {
    this.#watch.disconnect();
    this.#near.clear();
    for (const stop of this.#busy.values()) stop.abort();
    for (const frame of [...this.#kept.keys()]) this.#free(frame);
  }

  #saw(entries) {
    for (const { target, isIntersecting } of entries) {
      if (isIntersecting) this.#near.add(target);
      else {
        this.#near.delete(target);
        this.#busy.get(target)?.abort();
      }
    }
    this.#next();
  }

  /** Begin what is wanted and not there; free what is far. */
  #next() {
    for (const frame of this.#near) {
      if (this.#busy.size >= AT_A_TIME) break;
      const width = wanted(frame);
      const has = this.#kept.get(frame)?.width ?? this.#failed.get(frame) ?? 0;
      if (width > has && !this.#busy.has(frame)) this.#fetch(frame, width);
    }
    for (const frame of [...this.#kept.keys()]) {
      if (this.#kept.size <= MOST_KEPT) break;
      if (!this.#near.has(frame)) this.#free(frame);
    }
  }

  async #fetch(frame, width) {
    const stop = new AbortController();
    this.#busy.set(frame, stop);
    try {
      const path = this.path(Number(frame.dataset.number), width); // pages are known, so a job is
      const response = await call(path, { headers: { Accept: "image/*" }, signal: stop.signal });
      const url = URL.createObjectURL(await response.blob());
      if (stop.signal.aborted) URL.revokeObjectURL(url);
      else await this.#put(frame, url, width);
    } catch {
      if (!stop.signal.aborted) {
        this.#failed.set(frame, width);
        frame.classList.add("without");
      }
    } finally {
      if (this.#busy.get(frame) === stop) this.#busy.delete(frame);
      this.#next();
    }
  }

  async #put(frame, url, width) {
    const image = make("img", { alt: "", draggable: "false" });
    image.src = url;
    try {
      await image.decode();
    } catch (error) {
      URL.revokeObjectURL(url);
      throw error;
    }
    this.#free(frame);
    this.#kept.set(frame, { url, width });
    frame.classList.remove("without");
    frame.prepend(image);
    frame.dispatchEvent(new CustomEvent("picture", { detail: { url }, bubbles: true }));
  }

  #free(frame) {
    const kept = this.#kept.get(frame);
    if (!kept) return;
    this.#kept.delete(frame);
    for (const image of frame.querySelectorAll("img")) image.remove();
    URL.revokeObjectURL(kept.url);
    frame.dispatchEvent(new CustomEvent("picture", { detail: { url: "" }, bubbles: true }));
  }
}

/** The step of WIDTHS that is sharp at the frame's width. */
function wanted(frame) {
  const pixels = frame.clientWidth * Math.min(devicePixelRatio, 2);
  return WIDTHS.find((width) => width >= pixels) ?? WIDTHS.at(-1);
}
