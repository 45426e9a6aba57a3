// The editor's turns: an exchange (user, assistant) is added at the end or taken away. What was taken away comes back
// with the next "add", so a wrong click loses nothing.
const removed = [];

const turns = () => [...document.querySelectorAll("[data-turns] > [data-turn]")];

function settle() {
  const all = turns();
  all.forEach((turn, index) => {
    turn.querySelector("textarea").id = `turn-${index + 1}`;
    turn.querySelector("label").htmlFor = `turn-${index + 1}`;
  });
  const button = document.querySelector("[data-turn-remove]");
  if (button) button.hidden = all.length < 3;
}

export function addPair() {
  const box = document.querySelector("[data-turns]");
  const pair = removed.pop() ?? [...box.querySelector("[data-turn-pair]").content.cloneNode(true).children];
  turns().at(-1).after(...pair);
  settle();
  return pair;
}

function removePair() {
  const all = turns();
  if (all.length < 3) return;
  const pair = all.slice(-2);
  pair.forEach((turn) => turn.remove());
  removed.push(pair);
  settle();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-turn-add], [data-turn-remove]");
  if (!button) return;
  event.preventDefault();
  if ("turnAdd" in button.dataset) addPair()[0].querySelector("textarea").focus();
  else removePair();
  turns().at(-1).querySelector("textarea").dispatchEvent(new Event("input", { bubbles: true }));
});
