// Small verbs over the document. Text becomes text, never markup: nothing here or elsewhere sets innerHTML.

const NUMBERS = new Intl.NumberFormat("en");

/** The element with this id. */
export function byId(id) {
  return document.getElementById(id);
}

/**
 * A new element. `text` is its text; names that start with "on" are listeners; true stands for an attribute without a
 * value; false, null and undefined leave it out.
 */
export function make(tag, settings = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(settings)) {
    if (value === false || value === null || value === undefined) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** "1,204". */
export function count(number) {
  return NUMBERS.format(number);
}

/** "1 page", "12 pages". */
export function plural(number, one, many = `${one}s`) {
  return `${count(number)} ${number === 1 ? one : many}`;
}

/** "9.8": a ratio in two digits or so. */
export function ratio(number) {
  return number >= 100 ? count(Math.round(number)) : number.toFixed(number >= 10 ? 1 : 2);
}

/** Whether the reader asked for less motion. */
export function calm() {
  return matchMedia("(prefers-reduced-motion: reduce)").matches;
}

/** Milliseconds pass, or the signal ends them with its reason. */
export function pause(milliseconds, signal) {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const timer = setTimeout(done, milliseconds);
    signal?.addEventListener("abort", stopped);
    function done() {
      signal?.removeEventListener("abort", stopped);
      resolve();
    }
    function stopped() {
      clearTimeout(timer);
      reject(signal.reason);
    }
  });
}

/** A function that runs `work` once, a little after the first of several calls. */
export function soon(work, milliseconds = 50) {
  let waiting = false;
  return () => {
    if (waiting) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      work();
    }, milliseconds);
  };
}
