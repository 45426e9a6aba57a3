// Keys: an element with data-key is pressed by that key. "a", "g h" (one after the other), "mod+Enter" (Ctrl or Cmd).
// Keys without a modifier rest while somebody types; nothing happens while an input method composes.
let first = "";

const typing = (element) => element.closest("input, textarea, select, [contenteditable]");
const visible = (element) => element.checkVisibility() && !element.disabled; // what a closed <details> hides counts as hidden
const keyed = () => [...document.querySelectorAll("[data-key]")].filter(visible);

function press(element) {
  if (element.matches("input, textarea, select")) element.focus();
  else element.click();
}

document.addEventListener("keydown", (event) => {
  if (event.isComposing || event.keyCode === 229 || event.altKey) return;
  const mod = event.ctrlKey || event.metaKey;
  const name = mod ? `mod+${event.key}` : event.key;
  if (!mod && (typing(event.target) || document.querySelector("dialog[open]"))) return;
  if (name === "?") {
    event.preventDefault();
    document.getElementById("keys").showModal();
    return;
  }
  const pair = first && !mod ? `${first} ${name}` : "";
  first = "";
  const found = keyed().find((element) => element.dataset.key === pair) ?? keyed().find((element) => element.dataset.key === name);
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
  const rows = keyed().map((element) => [element.dataset.key, element.dataset.keyLabel ?? element.textContent.trim()]);
  const label = (key) => key.replace("mod", navigator.platform.startsWith("Mac") ? "⌘" : "Ctrl");
  list.replaceChildren(
    ...[["?", list.dataset.keyHelp], ...rows].flatMap(([key, text]) => [
      Object.assign(document.createElement("kbd"), { textContent: label(key) }),
      Object.assign(document.createElement("span"), { textContent: text.replace(/\s+/g, " ") }),
    ]),
  );
}).observe(help, { attributes: true, attributeFilter: ["open"] });
