// The browser's copies of drafts in localStorage, one a task and person. Each knows where it belongs, so any page can
// send it: {text, revision, writer, step, instructions, at, save, submit, waiting}; `waiting` is the idempotency key of a
// text that is to be handed in.
const PREFIX = "emend.draft.";

export const keyOf = (name) => PREFIX + name;
export const forget = (key) => localStorage.removeItem(key);
export const write = (key, copy) => localStorage.setItem(key, JSON.stringify(copy));
export const keysOf = (person) =>
  Object.keys(localStorage).filter((key) => key.startsWith(PREFIX) && key.endsWith(`.${person}`));

export function read(key) {
  try {
    return JSON.parse(localStorage.getItem(key) ?? "null");
  } catch {
    return null;
  }
}

// Tabs that were opened before somebody signed in again know an old token; the cookie has the right one.
export const token = () => document.cookie.match(/(?:^|; )emend_csrf=([^;]+)/)?.[1] ?? "";

// Bring a copy to the server, as a draft or, where it waits for that, handed in. True when the server has it.
export async function send(key) {
  const copy = read(key);
  if (!copy) return true;
  const { revision, writer, step, instructions } = copy;
  const { turns, ...fields } = copy.text;
  const body = new URLSearchParams({ ...fields, revision, writer, step: step + 1, instructions });
  for (const turn of turns) body.append("turn", turn);
  if (copy.waiting) body.append("idempotency_key", copy.waiting);
  if (copy.waiting) body.append("then", "stay");
  const headers = { "HX-Request": "true", "X-CSRFToken": token() };
  try {
    const answer = await fetch(copy.waiting ? copy.submit : copy.save, { method: "POST", body, headers });
    const stored = answer.ok && !answer.headers.get("HX-Redirect");
    if (stored && read(key)?.at === copy.at) forget(key);
    return stored;
  } catch {
    return false;
  }
}
