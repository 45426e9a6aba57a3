// Keys: an element with data-key is pressed by that key. "a", "g h" (one after the other), "mod+Enter" (Ctrl or Cmd).
// "mod+shift+p", "alt+shift+ArrowUp". Where several elements have the same key, the one nearest to the focus is meant.
// Keys without a modifier rest while somebody types; nothing happens while an input method composes.
let first = "";

const typing = (element) => element.closest("input:not([type=radio]), textarea, select, [contenteditable]");
const visible = (element) => element.checkVisibility() && !element.disabled; // what a closed <details> hides counts as hidden
const keyed = () => [...document.querySelectorAll("[data-key]")].filter(visible);

const shares = (element) => {
  let depth = 0;
  for (let box = element; box && !box.contains(document.activeElement); box = box.parentElement) depth += 1;
  return depth;
};
const nearest = (name) => keyed().filter((element) => element.dataset.key === name).sort((a, b) => shares(a) - shares(b))[0];

function nameOf(event, mod) {
  if (!mod && !event.altKey) return event.key;
  const letter = event.key.length === 1 ? event.key.toLowerCase() : event.key; // Caps Lock changes nothing
  return `${mod ? "mod+" : ""}${event.altKey ? "alt+" : ""}${event.shiftKey ? "shift+" : ""}${letter}`;
}

function press(element) {
  if (element.matches("input, textarea, select")) element.focus();
  else element.click();
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229) return;
  const mod = event.ctrlKey || event.metaKey;
  const name = nameOf(event, mod);
  if (!mod && !event.altKey && (typing(event.target) || document.querySelector("dialog[open]"))) return;
  if (name === "?") {
    event.preventDefault();
    document.getElementById("keys").showModal();
    return;
  }
  const pair = first && !mod ? `${first} ${name}` : "";
  first = "";
  const found = nearest(pair) ?? nearest(name);
  if (found) {
    event.preventDefault();
    press(found);
  } else if (keyed().some((element) => element.dataset.key.startsWith(`${name} `))) {
    first = name;
  }
});

const help = document.getElementById("keys");
new MutationObserver(() => {
  if (!help.open) return;
  const list = help.querySelector("[data-keys-list]");
  const words = (element) => [...element.childNodes].filter((node) => node.nodeName !== "KBD").map((node) => node.textContent);
  const name = (element) => element.dataset.keyLabel ?? words(element).join("").trim();
  const rows = keyed().map((element) => [element.dataset.key, name(element)]);
  const label = (key) => key.replace("mod", navigator.platform.startsWith("Mac") ? "⌘" : "Ctrl").replace("Arrow", "");
  list.replaceChildren(
    ...[["?", list.dataset.keyHelp], ...rows].flatMap(([key, text]) => [
      Object.assign(document.createElement("kbd"), { textContent: label(key) }),
      Object.assign(document.createElement("span"), { textContent: text.replace(/\s+/g, " ") }),
    ]),
  );
}).observe(help, { attributes: true, attributeFilter: ["open"] });
