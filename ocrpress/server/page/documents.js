// The documents of this session, each with its readings in one mode or several; kept over a reload of the page.
//
// Kept are names and job ids, never contents: the pages come from the service again, and a file that is to be read in
// another mode after a reload is asked for again.

import { Reading } from "./reading.js";

const LOST = new Set(["cancelled", "gone"]);
const KEPT = "ocrpress.documents";

/** A document: its file as long as this page lives, and what was read of it. */
export class Doc extends EventTarget {
  file = null;
  fields = {}; // of the request: pages, password
  readings = [];
  shown = null; // a reading
  before = null; // the reading that `shown` is compared with

  constructor(name, key = crypto.getRandomValues(new Uint32Array(2)).join("-")) {
    super();
    Object.assign(this, { name, key });
  }

  /** A new reading of it, shown from now on. */
  begin(settings) {
    const reading = new Reading(settings);
    reading.addEventListener("change", () => {
      this.name ||= reading.job?.name ?? ""; // of a document that came by its address
      this.dispatchEvent(new Event("change"));
    });
    this.readings.push(reading);
    this.show(reading);
    return reading;
  }

  /** Show a reading; the one that was shown is what it is compared with. */
  show(reading) {
    if (this.shown === reading) return;
    this.before = this.readings.includes(this.shown) ? this.shown : null;
    this.shown = reading;
  }

  /** The reading in a mode, if there is one that is of use. */
  inMode(mode) {
    return this.readings.find((one) => one.mode === mode && !["failed", "cancelled", "gone"].includes(one.state));
  }

  /** Forget a reading; the one before it is shown again. */
  drop(reading) {
    this.readings = this.readings.filter((one) => one !== reading);
    if (this.before === reading) this.before = null;
    if (this.shown !== reading) return;
    this.shown = this.before ?? this.readings.at(-1) ?? null;
    this.before = this.readings.find((one) => one !== this.shown) ?? null;
  }
}

/** The list; tells of changes ("change"). */
export class Documents extends EventTarget {
  all = [];

  constructor() {
    super();
    for (const { name, key, readings, shown } of restored()) {
      const found = this.add(new Doc(name, key));
      for (const { id, mode } of readings) found.begin({ id, mode });
      const last = found.readings.find((one) => one.id === shown);
      if (last) found.show(last);
    }
  }

  add(found) {
    this.all.push(found);
    found.addEventListener("change", () => this.save());
    this.save();
    return found;
  }

  remove(found) {
    this.all = this.all.filter((one) => one !== found);
    this.save();
  }

  /** The document that a job reads, with its reading. */
  byJob(id) {
    for (const found of this.all) {
      const reading = found.readings.find((one) => one.id === id);
      if (reading) return { found, reading };
    }
    return null;
  }

  save() {
    const kept = this.all.map(({ name, key, readings, shown }) => ({
      name, key, shown: shown?.id,
      readings: readings.filter(({ id, state }) => id && !LOST.has(state)).map(({ id, mode }) => ({ id, mode })),
    }));
    sessionStorage.setItem(KEPT, JSON.stringify(kept.filter(({ readings }) => readings.length)));
    this.dispatchEvent(new Event("change"));
  }
}

function restored() {
  try {
    return JSON.parse(sessionStorage.getItem(KEPT)) ?? [];
  } catch {
    return [];
  }
}
