// The rubric: keys 1 to 7 fill the row at hand (the one in focus, else the first empty one) and go on to the next.
const form = document.querySelector("[data-rubric]");
const rows = [...form.querySelectorAll("[data-rubric-row]")];
const filled = (row) => row.querySelector("input:checked");

document.addEventListener("keydown", (event) => {
  const writes = event.target.closest("textarea, select, input:not([type=radio])");
  if (writes || event.isComposing || event.ctrlKey || event.metaKey || event.altKey || !/^[1-7]$/.test(event.key)) return;
  const row = event.target.closest("[data-rubric-row]") ?? rows.find((each) => !filled(each)) ?? rows[0];
  event.preventDefault();
  row.querySelector(`input[value="${event.key}"]`).click();
  const next = rows[rows.indexOf(row) + 1];
  if (next) (filled(next) ?? next.querySelector("input")).focus();
  else form.querySelector("textarea").focus();
});
