// The editor's exchanges: added at the end, moved, removed. A removed one leaves a button that puts it back.
const list = () => document.querySelector("[data-exchanges]");
const all = () => [...(list()?.querySelectorAll(":scope > [data-exchange]") ?? [])];
const fresh = () => list().querySelector("[data-exchange-new]").content.firstElementChild.cloneNode(true);
const changed = () => list().dispatchEvent(new CustomEvent("emend:typed", { bubbles: true }));

function number() {
  list().querySelectorAll("[data-turn]").forEach((turn, index) => {
    turn.querySelector("textarea").id = `turn-${index + 1}`;
    turn.querySelector("textarea").setAttribute("aria-describedby", `count-${index + 1}`);
    turn.querySelector("label").htmlFor = `turn-${index + 1}`;
    turn.querySelector(".turn__count").id = `count-${index + 1}`;
    turn.querySelector("[data-preview]").value = `preview:${index + 1}`;
  });
  all().forEach((exchange, index) => (exchange.querySelector("[data-number]").textContent = index + 1));
}

function add() {
  const exchange = fresh();
  list().querySelector("[data-exchange-new]").before(exchange);
  htmx.process(exchange);
  number();
  return exchange;
}

function move(exchange, by) {
  const others = all();
  const other = others[others.indexOf(exchange) + by];
  if (!other || other.classList.contains("exchange--fixed")) return;
  if (by < 0) other.before(exchange);
  else other.after(exchange);
  number();
  changed();
}

function remove(exchange) {
  if (all().length < 2) return;
  const place = Object.assign(document.createElement("div"), { className: "row notice", role: "status" });
  const back = Object.assign(document.createElement("button"), { type: "button", className: "button button--small" });
  place.append(list().dataset.removed, back);
  back.textContent = list().dataset.back;
  back.addEventListener("click", () => {
    place.replaceWith(exchange);
    number();
    changed();
    exchange.querySelector("textarea").focus();
  });
  exchange.replaceWith(place);
  back.focus();
  number();
  changed();
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-exchange-add], [data-exchange-up], [data-exchange-down], [data-exchange-remove]");
  if (!button) return;
  event.preventDefault();
  const exchange = button.closest("[data-exchange]");
  const focused = document.activeElement;
  if ("exchangeAdd" in button.dataset) add().querySelector("textarea").focus();
  else if ("exchangeUp" in button.dataset) move(exchange, -1);
  else if ("exchangeDown" in button.dataset) move(exchange, 1);
  else remove(exchange);
  if (exchange?.contains(focused) && exchange.isConnected) focused.focus(); // moving it in the page takes the focus away
});

document.addEventListener("emend:fit", (event) => {
  const count = () => list().querySelectorAll("[data-turn]").length;
  while (count() < event.detail) add();
  while (count() > event.detail && all().length > 1) all().at(-1).remove();
});
