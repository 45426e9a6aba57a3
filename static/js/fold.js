// On a narrow window, <details data-fold-narrow> begins folded: the work comes first, the instructions are one tap away.
const fold = () => document.querySelectorAll("details[data-fold-narrow]").forEach((details) => (details.open = false));
const isNarrow = () => matchMedia("(max-width: 1100px)").matches;

if (isNarrow()) fold();
// A section that the reader folds, <details data-fold-key>, is folded the next time too.
const KEY = "emend.folded";
const folded = () => new Set(JSON.parse(localStorage.getItem(KEY) ?? "[]"));
const recall = () => document.querySelectorAll("details[data-fold-key]").forEach((each) => (each.open = !folded().has(each.dataset.foldKey)));

recall();
document.addEventListener("htmx:afterSwap", (event) => event.detail.target.id === "desk" && recall());
document.addEventListener(
  "toggle",
  (event) => {
    const key = event.target.dataset.foldKey;
    if (!key) return;
    const keys = folded();
    keys[event.target.open ? "delete" : "add"](key);
    localStorage.setItem(KEY, JSON.stringify([...keys].slice(-200)));
  },
  true,
);
document.addEventListener("htmx:afterSwap", (event) => event.detail.target.id === "desk" && isNarrow() && fold());
