// Comments on passages: what is selected in a turn becomes a row of the send-back form, with its place in the text.
const sheet = () => document.getElementById("send-back");

function selected(turn) {
  const selection = getSelection();
  if (selection.isCollapsed || !turn.contains(selection.anchorNode) || !turn.contains(selection.focusNode)) return null;
  const range = selection.getRangeAt(0);
  const before = document.createRange();
  before.selectNodeContents(turn);
  before.setEnd(range.startContainer, range.startOffset);
  // The server counts characters, the browser UTF-16 units.
  return { quote: range.toString(), start: [...before.toString()].length };
}

function add(number) {
  const turn = document.querySelector(`[data-turn-text="${number}"]`);
  const passage = selected(turn) ?? { quote: turn.textContent, start: 0 };
  const rows = sheet().querySelector("[data-passage-rows]");
  const row = rows.querySelector("template").content.firstElementChild.cloneNode(true);
  const set = (name, value) => (row.querySelector(`[name=passage_${name}]`).value = value);
  set("turn", number);
  set("quote", passage.quote);
  set("start", passage.start);
  row.querySelector("[data-passage-quote]").textContent = passage.quote;
  rows.querySelector("template").before(row);
  sheet().open = true;
  // The sheet puts the cursor into its first field when it opens; the new row comes after that.
  setTimeout(() => row.querySelector("textarea").focus());
}

// With the mouse, the selection is gone before the click: the button must not take it away.
document.addEventListener("pointerdown", (event) => event.target.closest("[data-passage]") && event.preventDefault());

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-passage]");
  if (button) {
    const at = getSelection().anchorNode;
    const inside = (at?.nodeType === Node.TEXT_NODE ? at.parentElement : at)?.closest?.("[data-turn-text]");
    const byKey = event.detail === 0 && button.dataset.key; // the key means what is selected, in whichever turn
    add(byKey && inside && !getSelection().isCollapsed ? inside.dataset.turnText : button.dataset.passage);
  }
  const row = event.target.closest("[data-passage-drop]")?.closest("[data-passage-row]");
  if (!row) return;
  const form = row.closest("form");
  row.remove();
  form.querySelector("textarea").focus();
  form.dispatchEvent(new Event("input"));
});
