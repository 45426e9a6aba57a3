// Words and characters below each turn, off the path of the keystrokes. A Chinese or Japanese character counts as a word,
// anything else between blanks as one if it has a letter or a digit: as the length hints of the instructions count.
const CJK = "\\p{Script=Han}\\p{Script=Hiragana}\\p{Script=Katakana}";
const PIECE = new RegExp(`[${CJK}]|[^\\s${CJK}]+`, "gu");
const due = new Set();

export const words = (text) => text.match(PIECE)?.filter((piece) => /[\p{L}\p{N}]/u.test(piece)).length ?? 0;

function count(area) {
  const line = area.closest("[data-turn]").querySelector(".turn__count");
  const box = line.querySelector("[data-count]");
  const n = words(area.value);
  box.textContent = box.dataset.count.replace("%w", n).replace("%c", [...area.value].length);
  const hint = line.querySelector("[data-min]");
  if (!hint) return;
  const { min, max, short, long } = hint.dataset;
  const isShort = n > 0 && min && n < Number(min);
  const isLong = max && n > Number(max);
  const off = isShort ? short.replace("%n", min - n) : isLong ? long.replace("%n", n - max) : "";
  hint.querySelector("[data-off]").textContent = off && ` · ${off}`;
}

// Browsers without `field-sizing` grow the field here.
function grow(area) {
  if (CSS.supports("field-sizing", "content")) return;
  area.style.blockSize = "auto";
  area.style.blockSize = `${area.scrollHeight + 2}px`;
}

function work() {
  for (const area of due) {
    count(area);
    grow(area);
  }
  due.clear();
}

function plan(areas) {
  if (!due.size) (window.requestIdleCallback ?? setTimeout)(work, { timeout: 500 });
  areas.forEach((area) => due.add(area));
}

const plans = () => plan(document.querySelectorAll("[data-exchanges] textarea"));
document.addEventListener("input", (event) => event.target.name === "turn" && plan([event.target]));
for (const sign of ["emend:filled", "emend:typed"]) document.addEventListener(sign, plans);
document.addEventListener("htmx:afterSwap", (event) => event.detail.target.id === "desk" && plans());
plans();
