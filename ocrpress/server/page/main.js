// The page: which document is shown, in which mode, and what its buttons do. The rooms below know nothing of each other.
//
//   intake ──files──▶ documents ──a reading a mode──▶ viewer, changes, status, export
//                        ▲ modes (the slider)            ▲ panes (two scrollers at one page)

import { askForPassword, askForToken } from "./forms.js";
import { Changes } from "./changes.js";
import { choose, onFiles } from "./intake.js";
import { Doc, Documents } from "./documents.js";
import { byId, soon } from "./dom.js";
import { Menu } from "./menu.js";
import { onUnauthorized, sentence } from "./api.js";
import { Modes } from "./modes.js";
import { onExport } from "./export.js";
import { Panes } from "./pane.js";
import { say, showProblems, showReading } from "./status.js";
import { Tabs } from "./tabs.js";
import { Viewer } from "./viewer.js";

const LOOK = 4000; // milliseconds between two looks at the documents that are not shown
const TABS = ["text", "markdown", "changes"];

const documents = new Documents();
const panes = new Panes(byId("pictures"), TABS.map(byId));
const tabs = new Tabs(TABS, (panel) => panes.choose(panel));
const viewer = new Viewer(panes);
const modes = new Modes(readIn);
const changes = new Changes((reading) => {
  current.before = reading;
  draw();
});
const menu = new Menu({ open: (found) => go(found), forget: (found) => forget(found, [...found.readings]) });
const draw = soon(render, 40);
const told = new WeakSet(); // readings whose problem was shown

let current = null; // the document that is shown
let unmet = false; // the service does not answer: the page says so

begin();

function begin() {
  onUnauthorized(askForToken);
  onFiles(take);
  onExport({
    reading: () => current.shown, name: () => current.name, say,
    report: (problem) => showProblems(problem),
  });
  documents.addEventListener("change", draw);
  byId("again").addEventListener("click", () => go(null));
  byId("home").addEventListener("click", (event) => {
    event.preventDefault();
    go(null);
  });
  byId("skip").addEventListener("click", (event) => {
    event.preventDefault(); // the address keeps the job
    (current ? byId("text") : byId("main")).focus();
  });
  byId("cancel").addEventListener("click", () => forget(current, [current.shown]));
  byId("hurry").addEventListener("click", () => current.shown.hurry?.());
  addEventListener("popstate", route);
  setInterval(tick, 500);
  setInterval(look, LOOK);
  route();
  meet();
}

/** Read files that came, each as a document; the first is shown. */
async function take(files) {
  showProblems();
  const fields = { pages: byId("pages").value.trim(), password: byId("first-password").value };
  byId("first-password").value = "";
  const mode = modes.mode;
  const found = files.map((file) => Object.assign(new Doc(file.name), { file, fields: { ...fields } }));
  for (const [index, one] of found.entries()) {
    documents.add(one);
    const sent = read(one, mode);
    if (!index) go(one);
    await sent; // one upload at a time
  }
}

/** Read a document in a mode. */
async function read(found, mode) {
  const reading = found.begin({ mode });
  draw();
  await reading.upload(found.file, found.fields);
  if (reading.id) {
    documents.save();
    if (found === current) place(!location.hash); // the way back leads to where a document is dropped
    return;
  }
  if (reading.state === "cancelled") return;
  await refused(found, reading, mode);
}

/** A document that the service did not take: say why, and ask for what is missing. */
async function refused(found, reading, mode) {
  const { problem } = reading;
  found.drop(reading);
  if (found.shown) modes.set(found.shown.mode);
  else {
    documents.remove(found);
    if (found === current) go(null);
  }
  const retry = problem.passing ? { text: "Try again", run: () => readAgain(found, mode) } : null;
  const locked = problem.type.endsWith(":password");
  showProblems({ line: locked ? sentence(problem.message) : problem.line, name: found.name, action: retry });
  draw();
  if (!locked) return;
  const password = await askForPassword(found.name);
  if (!password) return;
  found.fields.password = password;
  await readAgain(found, mode);
}

function readAgain(found, mode) {
  showProblems();
  if (!documents.all.includes(found)) documents.add(found);
  const sent = read(found, mode);
  go(found);
  return sent;
}

/** The slider stands at another mode: show the document in it, reading it again where it must be. */
function readIn(mode) {
  const found = current;
  if (!found) return;
  const known = found.inMode(mode);
  showProblems();
  if (known) found.show(known);
  else if (found.file) read(found, mode);
  else {
    modes.set(found.shown.mode);
    showProblems({
      line: `To read “${found.name}” in ${mode}, choose the file again: this page kept no copy of it.`,
      action: { text: "Choose it", run: () => choose(([file]) => {
        found.file = file;
        modes.set(mode);
        readIn(mode);
      }, false) },
    });
    return;
  }
  tabs.choose(found.before ? "changes" : "text");
  place(false);
  draw();
}

/** Have the service forget readings of a document; without any, the document goes too. */
async function forget(found, readings) {
  say(readings.every(({ over }) => over) ? "Deleted" : "Cancelled");
  const gone = readings.map((reading) => reading.remove());
  for (const reading of readings) found.drop(reading);
  if (!found.readings.length) {
    documents.remove(found);
    if (found === current) go(null);
  } else if (found === current) {
    modes.set(found.shown.mode);
    place(false);
  }
  documents.save();
  await Promise.all(gone).catch((problem) => showProblems(problem));
}

/** Show a document, or none: the place to drop one. */
function go(found) {
  if (found === current) return;
  showProblems();
  current = found;
  document.body.dataset.screen = found ? "document" : "start"; // at once: what is hidden takes no focus
  byId("password-form").hidden = true;
  menu.toggle(false);
  tabs.choose("text");
  place(true);
  if (found) modes.set(found.shown.mode);
  draw();
  (found ? byId("main") : byId("choose")).focus({ preventScroll: true });
}

/** The address names the job, so that a reload takes it up again. */
function place(push) {
  const id = current?.shown?.id;
  const url = new URL(location.href);
  url.hash = id ? `job=${id}` : "";
  if (url.href.replace(/#$/, "") === location.href.replace(/#$/, "")) return;
  if (push) history.pushState(null, "", url);
  else history.replaceState(null, "", url);
}

/** Show what the address names. */
function route() {
  const id = new URLSearchParams(location.hash.slice(1)).get("job");
  if (!id) {
    go(null);
    draw();
    return;
  }
  const known = documents.byJob(id);
  if (known) known.found.show(known.reading);
  const found = known?.found ?? documents.add(new Doc(""));
  if (!known) found.begin({ id });
  go(found);
  draw();
}

function render() {
  menu.draw(documents.all, current);
  attend();
  if (!current) {
    document.title = "ocrpress";
    modes.load();
    return;
  }
  const { shown, before, readings, name } = current;
  showReading(shown, name || "Document");
  if (shown.problem && shown.over && !told.has(shown)) {
    told.add(shown);
    showProblems({ line: shown.problem.line });
  }
  viewer.show(current, shown);
  changes.show(before, shown, readings.filter((one) => one !== shown));
  if (byId("tab-changes").disabled && tabs.name === "changes") tabs.choose("text");
  for (const id of ["copy", "download"]) byId(id).disabled = shown.state !== "done";
  modes.mark(() => readings.filter(({ state }) => state === "done").map(({ mode }) => mode));
  modes.load(readings.find(({ job, state }) => job && state !== "gone")?.id);
}

/** Learn which engine there is, and its modes; an engine that is not open yet is asked for again. */
async function meet() {
  try {
    const { engine } = await modes.table();
    byId("engine").textContent = engine ? `engine ${engine}` : "the engine is being opened";
    if (current?.shown) modes.set(current.shown.mode);
    if (!engine) setTimeout(meet, LOOK);
    if (unmet) showProblems();
    unmet = false;
  } catch (problem) {
    if (problem.passing) setTimeout(meet, LOOK);
    if (!unmet) showProblems({ line: problem.line });
    unmet = true;
  }
}

/** Streams for what is shown; a browser has few connections to a host. */
function attend() {
  const heard = new Set(current ? [current.shown, current.before] : []);
  for (const { readings } of documents.all) {
    for (const reading of readings) {
      if (heard.has(reading)) reading.follow();
      else reading.rest();
    }
  }
}

function look() {
  for (const found of documents.all) {
    for (const reading of found.readings) if (found !== current) reading.look();
  }
}

/** Seconds pass in what is said. */
function tick() {
  if (current && (current.shown.state === "full" || current.shown.lost)) showReading(current.shown, current.name);
}
