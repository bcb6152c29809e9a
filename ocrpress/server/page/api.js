// The service's API: requests with the token, and its problems (RFC 9457). Knows nothing of the page.

const TOKEN = "ocrpress.token";

let asking = null; // one question at a time, however many requests wait for the token
let askForToken = () => Promise.reject(new Problem({ detail: "A token is needed", status: 401 }));

/** What went wrong, in words for people. */
export class Problem extends Error {
  constructor({ type = "", title = "", detail = "", remedy = "", status = 0, retryAfter = 0 }) {
    super(detail || title || "The service gave no reason");
    Object.assign(this, { type, title, detail: this.message, remedy, status, retryAfter });
  }

  /** One line: what is wrong, and what to do about it. */
  get line() {
    return [this.message, this.remedy].filter(Boolean).map(sentence).join(" ");
  }

  /** Whether the same request may well succeed later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status === 503;
  }
}

/** `ask(wrong)` shows the field for the token and resolves to what was entered. */
export function onUnauthorized(ask) {
  askForToken = ask;
}

/** The address of a path of the API; relative, so that the page may live below a prefix. */
export function address(path) {
  return new URL(path, document.baseURI).href;
}

/** The headers that carry the token, if there is one. */
export function authorization() {
  const token = sessionStorage.getItem(TOKEN);
  return token ? { Authorization: `Bearer ${token}` } : {};
}

/** Have the token entered; `used` is the header that was refused. */
export async function renewToken(used) {
  if (used !== authorization().Authorization) return; // another request got a new one meanwhile
  asking ??= askForToken(Boolean(used)).finally(() => (asking = null));
  sessionStorage.setItem(TOKEN, await asking);
}

/** A response with a status below 400. Throws Problem; asks for the token as often as it takes. */
export async function call(path, { method = "GET", headers = {}, signal } = {}) {
  for (;;) {
    const token = authorization();
    const response = await answer(path, { method, headers: { ...headers, ...token }, signal });
    if (response.ok) return response;
    if (response.status !== 401) throw await problemOf(response);
    await renewToken(token.Authorization);
  }
}

/** The JSON at a path. */
export async function get(path, signal) {
  return (await call(path, { headers: { Accept: "application/json" }, signal })).json();
}

/** A Problem out of the parts of a response. */
export function problemFrom(status, text, retryAfter) {
  let said = {};
  try {
    said = JSON.parse(text) ?? {};
  } catch {
    // A proxy in between answers with a page of its own.
  }
  const { type, title, detail, remedy } = said;
  const fallback = status === 413 ? "The file is larger than this service takes" : `The service answered with ${status}`;
  return new Problem({
    type: word(type), title: word(title), detail: word(detail) || word(title) || fallback, remedy: word(remedy), status,
    retryAfter: Math.min(Math.max(Number.parseInt(retryAfter, 10) || 0, 0), 3600),
  });
}

/** What a request that got no answer means. */
export function unreachable() {
  return new Problem({
    detail: "The service does not answer",
    remedy: "Check that it runs and that this machine reaches it",
  });
}

async function answer(path, options) {
  try {
    return await fetch(address(path), options);
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw unreachable();
  }
}

async function problemOf(response) {
  const text = await response.text().catch(() => "");
  return problemFrom(response.status, text, response.headers.get("Retry-After"));
}

function word(value) {
  return typeof value === "string" ? value : "";
}

/** A text with a capital, unless it begins with the name of a file, and a full stop. */
export function sentence(text) {
  const begun = /^[a-z]+[\s,:]/.test(text) ? text.charAt(0).toUpperCase() + text.slice(1) : text;
  return /[.!?…]$/.test(begun) ? begun : `${begun}.`;
}
