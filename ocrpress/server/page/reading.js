// One reading of a document in one mode: a job of the service, its pages as they come, and what became of it.
//
// A reading knows nothing of the page: it tells whoever listens ("change") that there is something new.

import { Problem, call, get } from "./api.js";
import { pause, soon } from "./dom.js";
import { events } from "./stream.js";
import { submit } from "./upload.js";

const LONGEST_PAUSE = 15;
const OVER = new Set(["done", "failed", "gone", "cancelled"]);

/**
 * States: "uploading", "full" (the queue is; it is tried again), "waiting" and "reading" (as the job says), then "done",
 * "failed" (`problem` says why), "cancelled", or "gone" (the service has no such job any more). `heard` is true once all
 * pages are here that will ever be.
 */
export class Reading extends EventTarget {
  constructor({ id = "", mode = "" }) {
    super();
    Object.assign(this, {
      id, mode, state: id ? "waiting" : "uploading", job: null, pages: new Map(), problem: null, sent: 0,
      again: null, hurry: null, lost: null, heard: false,
    });
  }

  #last = "";
  #following = null;
  #stop = new AbortController();
  #changed = soon(() => this.dispatchEvent(new Event("change")));

  get over() {
    return OVER.has(this.state);
  }

  /** Page numbers, as far as they are known, in order. */
  get numbers() {
    const found = this.job?.pages ?? [...this.pages.keys()].sort((a, b) => a - b);
    return found.length ? found : [];
  }

  /** How many pages there will be; 0 if nobody knows yet. */
  get total() {
    return this.job?.page_count ?? this.job?.pages?.length ?? (this.state === "done" ? this.pages.size : 0);
  }

  /** How many pages are done: by what came here, or by what the service says. */
  get done() {
    return Math.max(this.pages.size, this.job?.pages_done ?? 0);
  }

  /** The address of something of this job. */
  path(rest = "") {
    return `v1/jobs/${encodeURIComponent(this.id)}${rest}`;
  }

  /** Send the file, with its fields; resolves when the service has the job, or it is certain that it will not. */
  async upload(file, fields) {
    const signal = this.#stop.signal;
    this.#become("uploading");
    try {
      const job = await submit(file, { ...fields, mode: this.mode }, {
        signal,
        sent: (share) => {
          this.sent = share;
          this.again = null;
          this.#become("uploading");
        },
        full: (problem, seconds, hurry) => {
          Object.assign(this, { problem, again: Date.now() + seconds * 1000, hurry });
          this.#become("full");
        },
      });
      Object.assign(this, { id: job.id, problem: null, again: null, hurry: null });
      this.#take(job);
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** Hear of pages until all are there, or `rest` is called. */
  follow() {
    if (this.#following || !this.id || this.heard || this.state === "gone" || this.#stop.signal.aborted) return;
    const ears = new AbortController();
    this.#following = ears;
    this.#listen(AbortSignal.any([ears.signal, this.#stop.signal])).catch((error) => {
      if (!ears.signal.aborted && !this.#stop.signal.aborted) this.#fail(error);
    });
  }

  /** Stop hearing; `follow` goes on from here. A browser has six connections to a host, and a stream holds one. */
  rest() {
    this.#following?.abort(new DOMException("", "AbortError"));
    this.#following = null;
  }

  /** Ask once how the job stands. */
  async look() {
    if (!this.id || this.over) return;
    try {
      this.#take(await get(this.path(), this.#stop.signal));
    } catch (error) {
      if (!this.#stop.signal.aborted && !error.passing) this.#fail(error);
    }
  }

  /** Stop reading, and have the service forget the job. */
  async remove() {
    const { id } = this;
    if (!this.over) this.#become("cancelled");
    this.#stop.abort(new DOMException("", "AbortError"));
    if (id) {
      await call(this.path(), { method: "DELETE" }).catch((error) => {
        if (error.status !== 404 && error.status !== 410) throw error;
      });
    }
  }

  async #listen(signal) {
    for (let tries = 0; ; tries += 1) {
      try {
        for await (const { event, data, id } of events(this.path("/events"), this.#last, signal)) {
          tries = 0;
          this.lost = null;
          this.#last = id || this.#last;
          this.#hear(event, data);
        }
        if (this.heard) return;
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof Problem && !error.passing) throw error;
      }
      const seconds = Math.min(2 ** Math.min(tries, 6) / 2, LONGEST_PAUSE);
      this.lost = Date.now() + seconds * 1000;
      this.#changed();
      await pause(seconds * 1000, signal);
    }
  }

  #hear(event, data) {
    if (event === "page") {
      this.pages.set(data.page.number, { ...data.page, markdown: data.markdown ?? "" });
      if (this.state === "waiting") this.state = "reading";
    } else if (event === "job") this.#take(data.job);
    else if (event === "done") {
      this.heard = true; // every page is here
      this.#take(data.job);
    }
    this.#changed();
  }

  #take(job) {
    if (this.over) return;
    Object.assign(this, { job, mode: job.mode ?? this.mode });
    if (job.state === "failed") this.problem = new Problem(job.error ?? { detail: "The document could not be read" });
    this.#become(job.state);
  }

  #fail(error) {
    this.problem = error instanceof Problem ? error : new Problem({ detail: String(error.message ?? error) });
    this.#become(error.status === 404 || error.status === 410 ? "gone" : "failed");
  }

  #become(state) {
    this.state = state;
    this.#changed();
  }
}
