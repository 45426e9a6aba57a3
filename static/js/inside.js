// A long conversation scrolls inside its box and opens at the last turn: at its end, or where it begins if it is long.
for (const box of document.querySelectorAll("[data-inside]")) {
  const last = box.querySelector(".message:last-child");
  if (last) box.scrollTop += last.getBoundingClientRect().top - box.getBoundingClientRect().top - 24;
}
// The list shows the open text in its middle; the page itself stays where it is.
const open = document.querySelector(".queue [aria-current]");
if (open) {
  const list = open.closest(".queue");
  list.scrollTop += open.getBoundingClientRect().top - list.getBoundingClientRect().top - list.clientHeight / 3;
}
