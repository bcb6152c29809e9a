// Taking the result along: to the clipboard, or as a file.

import { byId, make } from "./dom.js";
import { call } from "./api.js";

const KINDS = { md: ["Markdown", "text/markdown"], json: ["JSON", "application/json"], txt: ["text", "text/plain"] };
const SAID_FOR = 2500;

/** `reading()` is what is shown, `name()` what the document is called; `report(problem)` shows what went wrong. */
export function onExport({ reading, name, report, say }) {
  const run = (button, work) => async () => {
    const format = byId("format").value;
    button.disabled = true;
    try {
      const told = await work(format);
      say(told);
      button.textContent = `${button.dataset.name} ✓`;
    } catch (error) {
      report(error);
    }
    button.disabled = false;
    setTimeout(() => (button.textContent = button.dataset.name), SAID_FOR);
  };
  for (const [id, work] of Object.entries({ copy, download })) {
    const button = byId(id);
    button.dataset.name = button.textContent;
    button.addEventListener("click", run(button, (format) => work(reading(), format, name())));
  }
}

async function result(reading, format) {
  return (await call(reading.path(`/result?format=${format}`), { headers: { Accept: KINDS[format][1] } })).text();
}

async function copy(reading, format) {
  const text = await result(reading, format);
  if (navigator.clipboard) await navigator.clipboard.writeText(text);
  else copyTheOldWay(text);
  return `The ${KINDS[format][0]} is in the clipboard`;
}

/** Pages that come over plain HTTP from another machine have no navigator.clipboard. */
function copyTheOldWay(text) {
  const area = make("textarea", { class: "unseen", "aria-hidden": "true" });
  const focus = document.activeElement;
  area.value = text;
  document.body.append(area);
  area.select();
  const copied = document.execCommand("copy");
  area.remove();
  focus?.focus();
  if (!copied) throw new Error("The browser does not let this page copy. Download the result instead.");
}

async function download(reading, format, name) {
  const text = await result(reading, format);
  const url = URL.createObjectURL(new Blob([text], { type: KINDS[format][1] }));
  const stem = name.replace(/\.[a-z0-9]{1,5}$/i, "").replace(/[\\/:*?"<>|\p{C}]+/gu, "_") || "document";
  make("a", { href: url, download: `${stem}.${format}` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
  return `${stem}.${format} is downloaded`;
}
