// The two questions that the service may have: for its token, and for the password of a document.

import { byId } from "./dom.js";

/** Show the token's field; resolves to the token. */
export function askForToken(wrong) {
  byId("token-note").textContent = wrong
    ? "This token is not known to the service. Check it and enter it again."
    : "The service wants to know who asks. The token is kept until this tab is closed.";
  byId("token-note").classList.toggle("bad", wrong);
  return ask("token");
}

/** Show the password's field; resolves to the password, or to "" if it is not given. */
export function askForPassword(name) {
  byId("password-label").textContent = `Password of “${name}”`;
  return ask("password");
}

function ask(what) {
  const form = byId(`${what}-form`);
  const field = byId(what);
  form.hidden = false;
  field.value = "";
  field.setAttribute("aria-describedby", `${what}-note`);
  field.focus();
  return new Promise((resolve) => {
    const end = (value) => {
      form.hidden = true;
      field.value = "";
      resolve(value);
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      const value = field.value.trim();
      if (value) end(value);
    };
    const cancel = byId(`${what}-cancel`);
    if (cancel) cancel.onclick = () => end("");
  });
}
