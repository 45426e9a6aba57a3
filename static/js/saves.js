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

document.addEventListener("htmx:beforeRequest", (event) => {
  if (isSave(event) && box().dataset.state !== "signedOut") say("saving"); // else the way back in stays
});

// Nobody is thrown out while typing: the words say it, with the way back in.
function offerSignIn(address) {
  if (box().dataset.state === "signedOut") return;
  say("signedOut");
  const link = Object.assign(document.createElement("a"), { href: address, textContent: box().dataset.signIn });
  link.addEventListener("click", (event) => {
    if (!event.ctrlKey && !event.metaKey && !event.shiftKey) page.isOver = page.isKept; // kept here for their return: no question
  });
  box().querySelector("[data-words]").append(" ", link);
}

document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { xhr } = event.detail;
  const goes = xhr.getResponseHeader("HX-Redirect");
  if (!isMine(event) || event.target === editor() || xhr.status >= 300) return;
  clearTimeout(again);
  failures = 0;
  if (!goes || !new URL(goes, location.href).pathname.startsWith("/accounts/")) {
    delete box().dataset.state;
    settle(page.sent);
  } else if (isSave(event)) {
    event.preventDefault();
    keep();
    offerSignIn(goes);
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
  page.step += 1; // the beacon's; who comes back goes on from there
  keep();
  const isTroubled = !page.isKept || /offline|lost|signedOut/.test(box().dataset.state) || document.querySelector("[data-conflict]");
  const form = new FormData(editor());
  const more = { revision: revision().value, csrfmiddlewaretoken: token(), writer: page.writer, step: page.step };
  for (const [name, value] of Object.entries(more)) form.set(name, value);
  const isWaiting = "waiting" in editor().dataset;
  if (isTroubled || isWaiting || !navigator.sendBeacon(editor().dataset.save, form)) event.preventDefault();
});
