// On a narrow window, <details data-fold-narrow> begins folded: the work comes first, the instructions are one tap away.
const fold = () => document.querySelectorAll("details[data-fold-narrow]").forEach((details) => (details.open = false));
const isNarrow = () => matchMedia("(max-width: 1100px)").matches;

if (isNarrow()) fold();
document.addEventListener("htmx:afterSwap", (event) => event.detail.target.id === "desk" && isNarrow() && fold());
