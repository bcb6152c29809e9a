// Server-sent events over fetch: EventSource cannot send the token's header.

import { Problem, call } from "./api.js";

const SILENCE = 60_000; // the service sends a sign of life every 15 s

/** The events at a path, as {event, data, id}; ends when the service ends them. `last` is the last id that was seen. */
export async function* events(path, last, signal) {
  const ears = new AbortController();
  const stop = () => ears.abort(signal.reason);
  signal.addEventListener("abort", stop);
  let alarm;
  const hear = () => {
    clearTimeout(alarm);
    alarm = setTimeout(() => ears.abort(new Problem({ detail: "The service fell silent" })), SILENCE);
  };
  try {
    signal.throwIfAborted();
    hear();
    const headers = { Accept: "text/event-stream", ...(last ? { "Last-Event-ID": last } : {}) };
    const response = await call(path, { headers, signal: ears.signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    const parser = new Parser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      hear();
      yield* parser.feed(value);
    }
  } finally {
    clearTimeout(alarm);
    signal.removeEventListener("abort", stop);
    ears.abort();
  }
}

/** The lines of an event stream -> events; holds what is not whole yet. */
class Parser {
  #rest = [];
  #event = "";
  #data = [];
  #id = "";

  /** The events that this piece completes. */
  *feed(piece) {
    const lines = piece.split(/\r\n|\n|\r/);
    if (lines.length === 1) {
      this.#rest.push(piece);
      return;
    }
    lines[0] = this.#rest.join("") + lines[0];
    this.#rest = [lines.pop()];
    for (const line of lines) {
      if (line) this.#take(line);
      else if (this.#data.length) yield this.#whole();
      else this.#event = "";
    }
  }

  #take(line) {
    const colon = line.indexOf(":");
    if (colon === 0) return; // a comment: the sign of life
    const field = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? "" : line.slice(colon + 1).replace(/^ /, "");
    if (field === "event") this.#event = value;
    else if (field === "data") this.#data.push(value);
    else if (field === "id") this.#id = value;
  }

  #whole() {
    const found = { event: this.#event || "message", data: JSON.parse(this.#data.join("\n")), id: this.#id };
    this.#event = "";
    this.#data = [];
    return found;
  }
}
