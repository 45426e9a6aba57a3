// A sheet (details[data-panel]) that opens puts the cursor into its first field; Escape closes it again.
document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.open && "panel" in event.target.dataset) event.target.querySelector("textarea, input:not([type=hidden])")?.focus({ preventScroll: true });
  },
  true,
);

document.addEventListener("keydown", (event) => {
  const panel = event.key === "Escape" && !event.isComposing && event.target.closest("details[data-panel][open]");
  if (!panel) return;
  panel.open = false;
  panel.querySelector("summary").focus();
});
