// Follows a server-sent event stream and asks htmx for the live piece anew when something has happened. Where the stream
// breaks, the piece's own polling goes on. `data-keep-open`: details that were open stay open when the piece is swapped.
const PAUSE_MS = 600;
let source = null;
let isDue = false;

function refresh() {
  if (isDue) return;
  isDue = true;
  setTimeout(() => {
    isDue = false;
    const piece = document.querySelector("[data-stream]");
    if (piece) window.htmx.trigger(piece, "refresh");
  }, PAUSE_MS);
}

function follow() {
  const piece = document.querySelector("[data-stream]");
  if (source || !piece || !("EventSource" in window)) return;
  source = new EventSource(piece.dataset.stream);
  source.onmessage = refresh;
  source.addEventListener("end", () => {
    source.close();
    refresh();
  });
}

let open = [];
document.addEventListener("htmx:beforeSwap", (event) => {
  if (!event.target.closest("[data-keep-open]")) return;
  open = [...event.target.querySelectorAll("details[open][id]")].map((details) => details.id);
});
document.addEventListener("htmx:afterSettle", () => {
  for (const id of open) document.getElementById(id)?.setAttribute("open", "");
});
addEventListener("pagehide", () => source?.close());
follow();
