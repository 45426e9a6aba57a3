// How long the task stays here. Whoever types, moves or scrolls renews the lease once a minute; the words stay current.
const MINUTE = 60_000;
let seen = Date.now();
let renewed = Date.now();

for (const sign of ["input", "keydown", "pointermove", "scroll"]) {
  document.addEventListener(sign, () => (seen = Date.now()), { passive: true, capture: true });
}

setInterval(() => {
  const box = document.querySelector("[data-lease]");
  if (!box) return;
  const now = Date.now();
  if (now - seen < MINUTE && now - renewed >= MINUTE) {
    renewed = now;
    htmx.trigger(box, "active");
  }
  const left = Math.ceil((Date.parse(box.dataset.lease) - now) / MINUTE);
  box.querySelector("time").textContent = left > 0 ? box.dataset.left.replace("%s", left) : box.dataset.over;
}, MINUTE / 4);

// Without a connection the draft's own words say so; the lease only tries again.
const hush = (event) => event.target.id === "lease" && event.stopPropagation();
document.addEventListener("htmx:sendError", hush, true);
document.addEventListener("htmx:responseError", hush, true);
