// How a document comes onto the page: dropped anywhere, chosen, or pasted.

import { byId } from "./dom.js";

/** `take(files)` is called with what came. */
export function onFiles(take) {
  byId("choose").addEventListener("click", () => choose(take));
  byId("fields").addEventListener("submit", (event) => {
    event.preventDefault(); // Enter in a field goes on to the file
    choose(take);
  });
  addEventListener("paste", (event) => {
    const files = [...(event.clipboardData?.files ?? [])];
    if (!files.length) return;
    event.preventDefault();
    take(files);
  });
  let depth = 0; // of elements that were entered and not left
  const lit = () => document.body.classList.toggle("dragging", depth > 0);
  addEventListener("dragenter", (event) => {
    if (!brings(event)) return;
    event.preventDefault();
    depth += 1;
    lit();
  });
  addEventListener("dragover", (event) => brings(event) && event.preventDefault());
  addEventListener("dragleave", (event) => {
    if (!brings(event)) return;
    depth = Math.max(0, depth - 1);
    lit();
  });
  addEventListener("drop", (event) => {
    depth = 0;
    lit();
    event.preventDefault(); // else the browser opens the file, or follows a link, in place of this page
    const files = [...(event.dataTransfer?.files ?? [])];
    if (files.length) take(files);
  });
}

/** Have files chosen; `take(files)` is called if some are. */
export function choose(take, many = true) {
  const input = byId("file");
  input.multiple = many;
  input.value = ""; // so that the same file may be chosen twice
  input.onchange = () => input.files.length && take([...input.files]);
  input.click();
}

function brings(event) {
  return [...(event.dataTransfer?.types ?? [])].includes("Files");
}
