// The chat's keys and buttons. Enter sends, Shift+Enter makes a line, and Enter that chooses a word of an input method
// does neither; Escape stops the answer.
import { send, stop } from "./chat.js";

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-chat], [data-chat-again]")) return;
  event.preventDefault();
  send(event.target);
});

document.addEventListener("click", (event) => event.target.closest("[data-chat-stop]") && stop());

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") stop();
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  if (!event.target.matches("[data-composer-text]") || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  event.target.form.requestSubmit();
});
