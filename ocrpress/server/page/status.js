// What is going on, in words: the state of the shown reading, problems, and what screen readers are told.

import { sentence } from "./api.js";
import { byId, count, make, plural, ratio } from "./dom.js";

const SELDOM = 8000; // between two announcements of progress, in milliseconds

let said = { state: "", at: 0 };

/** Show how a reading stands. */
export function showReading(reading, name) {
  byId("name").textContent = name;
  byId("name").title = name;
  const { state } = reading;
  const text = words(reading);
  byId("state").textContent = text;
  byId("state").className = state === "failed" || state === "gone" ? "bad" : "";
  byId("hurry").hidden = state !== "full";
  byId("cancel").hidden = reading.over;
  bar(reading);
  byId("compression").textContent = compression(reading.job?.compression) || "";
  const counter = reading.job?.compression?.counter;
  byId("compression").title = counter ? `Counted by the ${counter}` : "";
  document.title = reading.over ? `${name} – ocrpress` : `${short(reading)} ${name} – ocrpress`;
  announce(reading, text);
}

/** Tell screen readers. */
export function say(text) {
  byId("live").textContent = text;
}

/** Show problems, a line each: {line or message, name, action}; none clears them. */
export function showProblems(...problems) {
  byId("problem").replaceChildren(...problems.map(({ line, message, name, action }) => {
    const text = line ?? message;
    const about = name && !text.startsWith(name) ? make("strong", { text: `${name}: ` }) : null;
    return make("div", { class: "problem" },
      make("p", {}, about, text),
      action ? make("button", { type: "button", text: action.text, onclick: action.run }) : null,
      make("button", {
        type: "button", class: "plain", "aria-label": "Dismiss", text: "×", onclick: () => showProblems(),
      }),
    );
  }));
}

/** A reading's state in a word or two, for the list of documents. */
export function short(reading) {
  if (!reading) return "";
  const { state, done, total } = reading;
  if (state === "reading") return total ? `${done}/${total}` : count(done);
  return { full: "waits for a place", done: "done", gone: "expired" }[state] ?? state;
}

/** "2,345 text : 1,024 vision tokens = 2.29× …", as far as it is known. */
function compression(found) {
  if (!found) return "";
  const { text_tokens: text, vision_tokens: vision, sequence_tokens: sequence, characters } = found;
  const written = text === null ? `${count(characters)} characters` : `${count(text)} text`;
  if (!vision) return `${written}${text === null ? "" : " tokens"}, read from pixels without vision tokens`;
  const parts = [`${written} : ${count(vision)} vision tokens`];
  const { tokens_per_vision_token: a, tokens_per_sequence_token: b, characters_per_vision_token: c } = found;
  if (a !== null) parts[0] += ` = ${ratio(a)}×`;
  if (b !== null) parts.push(`${count(sequence)} in sequence = ${ratio(b)}×`);
  if (c !== null) parts.push(`${ratio(c)} characters a vision token`);
  return parts.join(" · ");
}

function words(reading) {
  const { state, done, total, sent, again, lost } = reading;
  if (state === "full") return `${sentence(reading.problem.message)} It is tried again in ${seconds(again)}.`;
  if (lost && lost > Date.now()) return `The connection is lost. It is tried again in ${seconds(lost)}.`;
  switch (state) {
    case "uploading":
      if (sent >= 1) return "Sent; the service looks at it";
      return sent > 0 ? `Uploading, ${Math.floor(sent * 100)} %` : "Uploading";
    case "waiting":
      return total ? `Waiting for its turn, ${plural(total, "page")}` : "Waiting for its turn";
    case "reading":
      return total ? `${count(done)} of ${plural(total, "page")}` : `${plural(done, "page")} so far`;
    case "done":
      return [`${plural(total || done, "page")} read in ${reading.mode}`, ...exceptions(reading)].join(" · ");
    case "failed":
      return "Not read";
    case "gone":
      return "The service does not have this document any more";
    default:
      return "Cancelled";
  }
}

function exceptions({ pages, job }) {
  const statuses = [...pages.values()].map(({ status }) => status);
  const failed = job?.failed_pages ?? 0;
  const blank = statuses.filter((one) => one === "blank").length;
  return [failed ? `${count(failed)} failed` : "", blank ? `${count(blank)} blank` : ""].filter(Boolean);
}

function bar(reading) {
  const element = byId("progress");
  const { state, done, total, sent } = reading;
  element.classList.toggle("over", reading.over);
  element.setAttribute("aria-label", state === "uploading" ? "Sent of the file" : "Pages done");
  if (state === "uploading") element.value = sent;
  else if (total) element.value = Math.min(1, done / total);
  else if (reading.over) element.value = 1;
  else element.removeAttribute("value"); // under way, and nobody knows how far
}

function announce(reading, text) {
  const { state } = reading;
  const now = Date.now();
  if (state === said.state && said.reading === reading && (state !== "reading" || now - said.at < SELDOM)) return;
  said = { state, reading, at: now };
  say(text);
}

function seconds(until) {
  return `${Math.max(1, Math.ceil((until - Date.now()) / 1000))} s`;
}
