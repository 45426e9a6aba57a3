// Rows that can be added and removed: [data-rows] holds [data-row]s; a new one is an empty copy of the last.
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-add-row], [data-remove-row]");
  const group = button?.closest("[data-rows]");
  if (!group) return;
  const rows = group.querySelectorAll("[data-row]");
  const row = button.closest("[data-row]");
  const empty = (each) => each.querySelectorAll("input, textarea").forEach((input) => (input.value = ""));
  if (!row) {
    const last = rows[rows.length - 1];
    const copy = last.cloneNode(true);
    empty(copy);
    last.after(copy);
    copy.querySelector("select, input, textarea").focus();
  } else if (rows.length > 1) {
    row.remove();
  } else {
    empty(row);
  }
  group.dispatchEvent(new CustomEvent("emend:rows", { bubbles: true }));
});
