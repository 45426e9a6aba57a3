// Signing out leaves no text in this browser. What the server does not have yet is sent first; where that fails, the
// person is asked.
import { forget, keysOf, send } from "./copies.js";

document.addEventListener("submit", async (event) => {
  const form = event.target;
  if (!form.matches("[data-sign-out]") || "clean" in form.dataset) return;
  event.preventDefault();
  document.dispatchEvent(new CustomEvent("emend:keep")); // the last words, too
  const person = form.dataset.signOut;
  const sent = await Promise.all(keysOf(person).map(send));
  if (!sent.every(Boolean) && !confirm(form.dataset.unsent)) {
    delete form.dataset.sent;
    return;
  }
  document.dispatchEvent(new CustomEvent("emend:leave"));
  keysOf(person).forEach(forget);
  form.dataset.clean = "";
  form.submit();
});
