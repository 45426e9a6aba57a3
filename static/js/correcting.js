// Correcting a case: a proposed probe goes into the field, a machine's draft into the editor, and "Try" shows the checks.
const write = (field, text) => {
  field.focus();
  // insertText keeps the browser's own undo: Ctrl+Z brings back what stood there.
  if (!document.execCommand("insertText", false, text)) field.setRangeText(text, field.selectionStart, field.selectionEnd, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
};

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-proposals] button, [data-try], [data-take-draft]");
  if (!button || (button.dataset.takeDraft && !document.querySelector("[data-machine-draft]"))) return;
  event.preventDefault();
  if (button.dataset.try) {
    const preview = document.querySelector(button.dataset.try);
    preview.dispatchEvent(new CustomEvent("emend:try"));
    preview.scrollIntoView({ block: "nearest" });
  } else if (button.dataset.takeDraft) {
    const field = document.getElementById("id_text");
    field.select();
    document.querySelector("[data-machine-draft]").value = button.dataset.takeDraft;
    write(field, button.closest("[data-draft]").querySelector("[data-draft-text]").textContent);
  } else {
    const field = document.querySelector(button.closest("[data-proposals]").dataset.proposals);
    field.setSelectionRange(field.value.length, field.value.length);
    write(field, (field.value && !field.value.endsWith("\n") ? "\n" : "") + button.value);
    button.closest("li").remove();
  }
});
