// The draft in the editor and its copy in this browser.
import { forget, keyOf, read, write } from "./copies.js";

export const editor = () => document.getElementById("editor");
export const box = () => document.getElementById("save-state");
export const key = () => keyOf(editor().dataset.editor);
export const spell = () => JSON.stringify(text());
export const revision = () => editor().querySelector("input[name=revision]");

// This open page: `writer` names it and `step` counts its saves, `server` is the text that the server has, `sent` the one
// that is on its way, `isKept` whether the copy in this browser could be written.
export const page = { writer: "", step: 0, server: "", sent: "", isKept: true, isOver: false };

const FIELDS = ["system", "choice", "reason"]; // beside the turns

export function text() {
  const turns = [...editor().querySelectorAll("textarea[name=turn]")].map((area) => area.value);
  const there = FIELDS.filter((name) => editor().elements[name]);
  return Object.fromEntries([["turns", turns], ...there.map((name) => [name, editor().elements[name].value])]);
}

export const isUnsaved = () => Boolean(editor()) && !page.isOver && spell() !== page.server;

export function say(state) {
  box().dataset.state = state;
  box().querySelector("[data-words]").textContent = box().dataset[state];
}

// Write the copy. `waiting` is the idempotency key of a text that is to be handed in, "" for none.
export function keep(waiting = read(key())?.waiting ?? "") {
  if (page.isOver || (spell() === page.server && !waiting)) return;
  const { save, editor: name } = editor().dataset;
  const submit = editor().getAttribute("action");
  const instructions = editor().elements.instructions?.value ?? "";
  const { writer, step } = page;
  const copy = { text: text(), revision: revision().value, writer, step, instructions, waiting, save, submit, at: Date.now() };
  try {
    write(keyOf(name), copy);
    page.isKept = true;
  } catch {
    page.isKept = false; // no room in this browser
  }
}

// The server has this text: its copy goes, unless another window has written one since.
export function settle(spelled, of = key()) {
  page.server = spelled;
  if (spelled === spell() && (read(of)?.writer ?? page.writer) === page.writer) forget(of);
}

// Put a copy into the editor. The event lets the editor have as many turns as there are texts.
export function restore(copy) {
  document.dispatchEvent(new CustomEvent("emend:fit", { detail: copy.text.turns.length }));
  editor().querySelectorAll("textarea[name=turn]").forEach((area, index) => (area.value = copy.text.turns[index] ?? ""));
  const { elements } = editor();
  for (const name of FIELDS) if (elements[name]) elements[name].value = copy.text[name] ?? "";
  if (copy.text.system) elements.system?.closest("details")?.setAttribute("open", "");
  revision().value = copy.revision;
  Object.assign(page, { writer: copy.writer, step: copy.step });
  editor().dispatchEvent(new CustomEvent("emend:filled", { bubbles: true }));
}
