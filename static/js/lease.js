// How long the task stays here. Whoever types, moves or scrolls renews the lease once a minute; a tab that idles does
// not, and is told in the last minutes and when the time is up.
const MINUTE = 60_000;
const SOON = 5; // minutes
let seen = Date.now();
let renewed = Date.now();

const lease = () => document.getElementById("lease");

function renew() {
  renewed = Date.now();
  htmx.trigger(lease(), "active");
}

function tick() {
  const box = lease();
  const now = Date.now();
  if (!box) return;
  if (now - seen < 2 * MINUTE && now - renewed >= MINUTE) renew();
  if (!box.dataset.lease) return;
  const left = Math.ceil((Date.parse(box.dataset.lease) - now) / MINUTE);
  const isIdle = now - renewed > 2 * MINUTE;
  const state = left <= 0 ? "over" : left <= SOON && isIdle ? "soon" : "left";
  const words = box.dataset[state].replace("%s", left);
  box.querySelector("time").textContent = words;
  if (box.dataset.state !== state) box.querySelector("[data-lease-said]").textContent = state === "left" ? "" : words;
  box.dataset.state = state;
}

for (const sign of ["input", "keydown", "pointermove", "scroll"]) {
  const note = () => {
    seen = Date.now();
    if (/soon|over/.test(lease()?.dataset.state) && seen - renewed > MINUTE / 4) renew(); // back from a break
  };
  document.addEventListener(sign, note, { passive: true, capture: true });
}
setInterval(tick, MINUTE / 4);

// Without a connection the draft's own words say so; the lease only tries again.
const hush = (event) => event.target.id === "lease" && event.stopPropagation();
for (const failure of ["htmx:sendError", "htmx:responseError", "htmx:timeout"]) document.addEventListener(failure, hush, true);
