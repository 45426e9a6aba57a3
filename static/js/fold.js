// On a narrow window, <details data-fold-narrow> begins folded: the work comes first, the instructions are one tap away.
if (matchMedia("(max-width: 1100px)").matches) {
  document.querySelectorAll("details[data-fold-narrow]").forEach((details) => (details.open = false));
}
