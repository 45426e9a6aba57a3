// The preview of a turn takes the place of its text, by the button or its key, and gives it back. htmx brings it.
const parts = (turn) => [turn.querySelector("textarea"), turn.querySelector("[data-previewed]"), turn.querySelector("[data-preview]")];

function show(turn, isOn) {
  const [area, preview, button] = parts(turn);
  const hadFocus = [area, preview].includes(document.activeElement);
  area.hidden = isOn;
  preview.hidden = !isOn;
  button.setAttribute("aria-pressed", String(isOn));
  if (hadFocus) (isOn ? preview : area).focus();
}

document.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest("[data-preview]");
    if (button?.getAttribute("aria-pressed") !== "true") return;
    event.preventDefault();
    event.stopPropagation(); // htmx need not ask for it again
    show(button.closest("[data-turn]"), false);
  },
  true,
);

document.addEventListener("htmx:afterSwap", (event) => {
  const { target } = event.detail;
  if (target.matches("[data-previewed]")) show(target.closest("[data-turn]"), true);
});
