// Drafts. What is typed goes to localStorage at once and to the server after a pause (#save-state posts the form). The
// copy goes when the server has the same text. What a crash left comes back into the editor under the name of the page
// that wrote it, so that the server knows the hand; a later text from elsewhere it refuses, and shows both.
import { forget, read } from "./copies.js";
import { box, editor, keep, key, page, restore, revision, say, spell } from "./draft.js";

const [AT_ONCE, PAUSE, LONGEST] = [50, 1000, 3000]; // ms
const timers = {};
const later = (name, ms, what) => (timers[name] ??= setTimeout(what, ms));

function stop(...names) {
  for (const name of names) {
    clearTimeout(timers[name]);
    delete timers[name];
  }
}

function copy() {
  stop("copy");
  if (editor()) keep();
}

export function save() {
  stop("pause", "longest");
  if (editor() && !page.isOver && !("waiting" in editor().dataset)) htmx.trigger(box(), "save");
}

function typed(event) {
  if (!editor()?.contains(event.target) || event.target.name === "action") return;
  if (!/offline|signedOut/.test(box().dataset.state)) say("unsaved");
  stop("pause");
  later("copy", AT_ONCE, copy);
  later("pause", PAUSE, save);
  later("longest", LONGEST, save);
}

// A desk is there: with the page (`isLoaded`), or in the place of another one.
function open(isLoaded) {
  stop("copy", "pause", "longest");
  const writer = [...crypto.getRandomValues(new Uint8Array(12))].map((byte) => byte.toString(36)).join("");
  Object.assign(page, { writer, step: 0, isOver: false, isKept: true, server: editor().dataset.known ? spell() : "" });
  const left = read(key());
  if (!isLoaded || !left) return;
  if (JSON.stringify(left.text) === spell() && !left.waiting) {
    forget(key());
    return;
  }
  restore(left);
  editor().querySelector("[data-restored]").hidden = Boolean(left.waiting);
  if (left.waiting) document.dispatchEvent(new CustomEvent("emend:handin", { detail: left.waiting }));
  else save();
}

document.addEventListener("input", typed);
document.addEventListener("emend:typed", typed);
document.addEventListener("emend:keep", copy);
document.addEventListener("emend:leave", () => (page.isOver = true));
addEventListener("online", save);
addEventListener("pagehide", copy);

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-forget]")) {
    page.isOver = true;
    forget(key());
  }
  const button = event.target.closest("[data-save-now]");
  if (!button) return;
  event.preventDefault();
  if (button.name === "overrule") revision().value = button.value;
  save();
});

document.addEventListener("htmx:afterSwap", (event) => event.detail.target.id === "desk" && editor() && open(false));
document.addEventListener("DOMContentLoaded", () => editor() && open(true)); // htmx is ready by then
