// The page frame: keys, theme, menu, dialogs, toasts. Everything is bound to data-* attributes by delegation.
import { token } from "./copies.js";

document.documentElement.classList.add("js");

function toast(text) {
  const box = document.createElement("div");
  box.className = "toast toast--error";
  box.append(Object.assign(document.createElement("span"), { textContent: text }));
  document.getElementById("toasts").append(box);
  setTimeout(() => box.remove(), 8000);
}

document.addEventListener("click", (event) => {
  const target = event.target.closest("button, summary, a, [data-dismiss]");
  for (const details of document.querySelectorAll("details[data-close-outside][open]")) {
    if (!details.contains(event.target)) details.open = false;
  }
  if (!target) return;
  if ("dismiss" in target.dataset) target.closest(".toast")?.remove();
  if (target.dataset.open) document.querySelector(target.dataset.open)?.showModal();
  if ("menu" in target.dataset) {
    const side = target.closest("[data-side]");
    const open = side.toggleAttribute("data-open");
    target.setAttribute("aria-expanded", String(open));
  }
  if ("themeToggle" in target.dataset) {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    document.cookie = `emend_theme=${root.dataset.theme};path=/;max-age=31536000;samesite=lax`;
  }
  if (target.dataset.copy) {
    navigator.clipboard?.writeText(document.querySelector(target.dataset.copy).value ?? "").then(() => {
      target.textContent = target.dataset.copied ?? "✓";
    });
  }
});

// A form goes off once: a double click finds its buttons at rest until the page changes or the answer is there.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || "many" in form.dataset) return;
  if (form.dataset.sent && !form.hasAttribute("hx-post")) event.preventDefault();
  form.dataset.sent = "1";
});
addEventListener("pageshow", () => document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent));
// Somebody who signed in again in another tab has a new token; the cookie knows it.
document.addEventListener("htmx:configRequest", ({ detail }) => {
  if (!token()) return;
  detail.headers["X-CSRFToken"] = token();
  if (detail.parameters.csrfmiddlewaretoken) detail.parameters.csrfmiddlewaretoken = token();
});
// Where a swap takes the focused element away, the focus goes to what the new piece has to say, not back to the page's start.
let hadFocus = false;
document.addEventListener("htmx:beforeSwap", (event) => (hadFocus = event.detail.target.contains(document.activeElement)));
document.addEventListener("htmx:afterSettle", (event) => {
  if (!hadFocus || document.activeElement !== document.body || !event.target.isConnected) return;
  const place = event.target.querySelector("[aria-invalid=true], [role=alert]") ?? event.target;
  if (place.tabIndex < 0) place.tabIndex = -1;
  place.focus();
});
document.addEventListener("emend:say", (event) => toast(event.detail));
document.addEventListener("htmx:sendError", () => toast(document.body.dataset.offline));
document.addEventListener("htmx:responseError", () => toast(document.body.dataset.failed));
