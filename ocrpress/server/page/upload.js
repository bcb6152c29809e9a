// A file on its way to the service: with progress, which fetch does not tell, and again when the queue was full.

import { address, authorization, problemFrom, renewToken, unreachable } from "./api.js";
import { pause } from "./dom.js";

const LONGEST_WAIT = 60; // seconds
const LARGE = 50 << 20; // bytes

/**
 * The job that reads the file. Throws Problem, or the signal's reason.
 *
 * `fields` go along with the file. `sent(share)` is told how much is sent, 0 to 1. `full(problem, seconds, hurry)` is
 * told that the service takes nothing now and when it is asked again; calling `hurry` asks at once.
 */
export async function submit(file, fields, { sent, full, signal }) {
  for (let tries = 1; ; tries += 1) {
    try {
      return await once(file, fields, sent, signal);
    } catch (error) {
      if (error.status === 401) await renewToken(error.token);
      else if (error.passing && error.retryAfter) await wait(error, full, signal);
      else throw error;
    }
  }
}

async function wait(problem, full, signal) {
  const impatience = new AbortController();
  const hurry = () => impatience.abort();
  const seconds = Math.min(Math.max(problem.retryAfter, 1), LONGEST_WAIT);
  full(problem, seconds, hurry);
  await pause(seconds * 1000, AbortSignal.any([signal, impatience.signal])).catch(() => signal.throwIfAborted());
}

function once(file, fields, sent, signal) {
  signal.throwIfAborted();
  const form = new FormData();
  for (const [name, value] of Object.entries(fields)) if (value) form.append(name, value);
  form.append("file", file, file.name);
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const stop = () => request.abort();
    const token = authorization();
    request.open("POST", address("v1/jobs"));
    request.setRequestHeader("Accept", "application/json");
    for (const [name, value] of Object.entries(token)) request.setRequestHeader(name, value);
    request.upload.onprogress = (event) => sent(event.lengthComputable ? event.loaded / event.total : 0);
    request.onload = () => {
      const { status, responseText } = request;
      if (status === 202 || status === 200 || status === 201) return resolve(JSON.parse(responseText));
      const problem = problemFrom(status, responseText, request.getResponseHeader("Retry-After"));
      return reject(Object.assign(problem, { token: token.Authorization }));
    };
    request.onerror = () => {
      const problem = unreachable();
      if (file.size > LARGE) problem.remedy += ". It may also have refused a file of this size";
      reject(problem);
    };
    request.onabort = () => reject(signal.reason);
    request.onloadend = () => signal.removeEventListener("abort", stop);
    signal.addEventListener("abort", stop);
    request.send(form);
  });
}
