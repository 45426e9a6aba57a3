// Drafts. Every keystroke goes to localStorage at once; after a pause htmx posts the form to the server (#save-state).
// The local copy goes when the server has the same text. What is left over from a crash comes back into the editor with
// the revision that it was based on, so the server notices when there is a later text, and shows both.
import { addPair } from "./turns.js";

const editor = () => document.getElementById("editor");
const box = () => document.getElementById("save-state");
const key = () => `emend.draft.${editor().dataset.editor}`;
const areas = () => [...editor().querySelectorAll("[data-turn] textarea")];
const revision = () => editor().querySelector('input[name="revision"]');
const text = () => JSON.stringify([areas().map((area) => area.value), editor().elements.system?.value ?? ""]);
const forget = () => localStorage.removeItem(key());
const save = () => editor() && htmx.trigger(box(), "save");
let sent = "";

function say(state) {
  box().dataset.state = state;
  box().querySelector("[data-words]").textContent = box().dataset[state];
}

function keep() {
  try {
    localStorage.setItem(key(), JSON.stringify({ text: text(), revision: revision().value }));
  } catch {
    save(); // no room in this browser: straight to the server
  }
}

function restore() {
  const kept = editor() && JSON.parse(localStorage.getItem(key()) ?? "null");
  if (!kept || kept.text === text()) return;
  const [turns, system] = JSON.parse(kept.text);
  while (areas().length < turns.length) addPair();
  areas().forEach((area, index) => (area.value = turns[index] ?? ""));
  if (editor().elements.system) editor().elements.system.value = system;
  revision().value = kept.revision;
  save();
}

document.addEventListener("input", (event) => {
  if (!editor()?.contains(event.target)) return;
  keep();
  if (box().dataset.state !== "offline") say("unsaved");
});

document.addEventListener("click", (event) => {
  if (event.target.closest("[data-forget]")) forget();
  const button = event.target.closest("[data-save]");
  if (!button) return;
  event.preventDefault();
  if (button.name === "revision") revision().value = button.value;
  save();
});

document.addEventListener("htmx:beforeRequest", (event) => {
  if (event.target !== box()) return;
  sent = text();
  say("saving");
});

document.addEventListener("htmx:afterRequest", (event) => {
  const { successful, xhr } = event.detail;
  const goes = xhr.getResponseHeader("HX-Redirect");
  if (event.target === box() && successful && !goes && sent === text()) forget();
  // Handed in: the next page is one of the project's. A sign-in page instead means that nothing was stored.
  if (event.target === editor() && goes && new URL(goes, location.href).pathname.startsWith("/p/")) forget();
  if (event.target === box() && xhr.status > 0 && xhr.status < 500) delete box().dataset.state;
});

for (const failure of ["htmx:sendError", "htmx:responseError"]) {
  const wait = (event) => {
    if (event.target !== box()) return;
    event.stopPropagation(); // the words beside the buttons say it; no toast with every try
    say("offline");
    setTimeout(save, 5000);
  };
  document.addEventListener(failure, wait, true);
}
addEventListener("online", save);
document.addEventListener("DOMContentLoaded", restore);
