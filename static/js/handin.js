// Handing in. Where the server cannot be reached the text waits in this browser, page open or not, and goes through when
// the connection is back; the idempotency key makes it one row however often it is sent.
import { forget, read, write } from "./copies.js";
import { box, editor, keep, key, page, spell } from "./draft.js";

const SLOWEST = 15_000; // ms
let failures = 0;
let again = 0;
let handing = "";

const isOurs = (event) => event.target.id === "editor";
const isWaiting = () => editor() && "waiting" in editor().dataset;
const note = () => editor().querySelector("[data-waiting]");

function hand() {
  clearTimeout(again);
  if (editor()) editor().requestSubmit(editor().querySelector("[data-submit]"));
}

function wait(isOn) {
  editor().toggleAttribute("data-waiting", isOn);
  editor().querySelectorAll("textarea").forEach((area) => (area.readOnly = isOn));
  note().hidden = !isOn;
}

function relent(name = key()) {
  clearTimeout(again);
  failures = 0;
  const left = read(name);
  if (left?.waiting) write(name, { ...left, waiting: "" });
}

document.addEventListener("htmx:beforeRequest", (event) => {
  if (!isOurs(event)) return;
  htmx.trigger(box(), "htmx:abort"); // a save that is on its way would come too late
  handing = key();
  keep(editor().elements.idempotency_key.value);
});

document.addEventListener("htmx:beforeOnLoad", (event) => {
  const { xhr } = event.detail;
  if (!isOurs(event) || xhr.status >= 500 || xhr.status === 403) return;
  const goes = xhr.getResponseHeader("HX-Redirect");
  if (goes && new URL(goes, location.href).pathname.startsWith("/accounts/")) {
    page.isOver = true; // it waits in this browser until they have signed in
  } else if (xhr.status < 300) {
    forget(handing);
    page.server = spell();
    relent(handing);
  } else {
    relent(handing); // refused: the person reads why
  }
});

for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) {
  const fail = (event) => {
    if (!isOurs(event)) return;
    event.stopPropagation(); // the note says it; no toast with every try
    wait(true);
    again = setTimeout(hand, Math.min(SLOWEST, 1000 * 2 ** failures++));
  };
  document.addEventListener(failure, fail, true);
}

document.addEventListener("click", (event) => {
  if (!event.target.closest("[data-unwait]")) return;
  relent();
  wait(false);
  editor().querySelector("textarea[name=turn], textarea[name=reason]").focus();
});

document.addEventListener("emend:handin", (event) => {
  editor().elements.idempotency_key.value = event.detail;
  wait(true);
  hand();
});
addEventListener("online", () => isWaiting() && hand());
