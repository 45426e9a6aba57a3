// How a save went. One that failed is tried again, ever more slowly and as soon as the connection is back.
import { token } from "./copies.js";
import { box, editor, isUnsaved, keep, page, revision, say, settle, spell } from "./draft.js";
import { save } from "./autosave.js";

const SLOWEST = 30_000; // ms
let failures = 0;
let again = 0;

const isSave = (event) => event.target.id === "save-state";
const isMine = (event) => editor()?.contains(event.target) && !event.target.matches("#lease, [data-preview]");

document.addEventListener("htmx:configRequest", (event) => {
  if (!isMine(event)) return;
  page.sent = spell();
  page.step += 1;
  Object.assign(event.detail.parameters, { writer: page.writer, step: page.step });
});

document.addEventListener("htmx:beforeRequest", (event) => isSave(event) && say("saving"));

document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { xhr } = event.detail;
  const goes = xhr.getResponseHeader("HX-Redirect");
  if (!isMine(event) || event.target === editor() || xhr.status >= 300) return;
  clearTimeout(again);
  failures = 0;
  delete box().dataset.state;
  if (!goes || !new URL(goes, location.href).pathname.startsWith("/accounts/")) {
    settle(page.sent);
  } else if (isSave(event)) {
    event.preventDefault(); // nobody is thrown out while typing: the words say it, with the way back in
    keep();
    say("signedOut");
    const link = Object.assign(document.createElement("a"), { href: goes, textContent: box().dataset.signIn });
    box().querySelector("[data-words]").append(" ", link);
  }
});

document.addEventListener("htmx:afterSwap", (event) => {
  if (isSave(event) && !document.querySelector("[data-conflict]") && isUnsaved()) {
    say("unsaved"); // typed while the answer was on its way
    setTimeout(save, 1000);
  }
});

for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  const wait = (event) => {
    if (!isSave(event)) return;
    event.stopPropagation(); // the words beside the buttons say it; no toast with every try
    say(page.isKept ? "offline" : "lost");
    clearTimeout(again);
    again = setTimeout(save, Math.min(SLOWEST, 1000 * 2 ** failures++));
  };
  document.addEventListener(failure, wait, true);
}

// Leaving: the last words go along as a beacon. Only where the server cannot have them, the browser asks.
addEventListener("beforeunload", (event) => {
  if (!isUnsaved()) return;
  keep();
  const isTroubled = !page.isKept || /offline|lost|signedOut/.test(box().dataset.state) || document.querySelector("[data-conflict]");
  const form = new FormData(editor());
  form.set("revision", revision().value);
  form.set("csrfmiddlewaretoken", token());
  form.set("writer", page.writer);
  form.set("step", page.step + 1);
  const isWaiting = "waiting" in editor().dataset;
  if (isTroubled || isWaiting || !navigator.sendBeacon(editor().dataset.save, form)) event.preventDefault();
});
