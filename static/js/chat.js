// The chat: answers appear while they are written. The form works without this; here it is posted with fetch, the
// answer comes as JSON lines, and the finished answer is a piece of HTML from the server.
const turns = document.querySelector("[data-chat-turns]");
const composer = () => document.querySelector("form[data-chat]");
let running = null;

const answer = (key) => document.getElementById(`answer-${key}`);

function setRunning(controller) {
  running = controller;
  composer().querySelector("[data-chat-send]").hidden = Boolean(controller);
  composer().querySelector("[data-chat-stop]").hidden = !controller;
}

function showProblem(text) {
  const box = composer().querySelector("[data-problem]") ?? document.createElement("div");
  box.className = "notice notice--bad";
  box.dataset.problem = "";
  box.setAttribute("role", "alert");
  box.textContent = text;
  composer().prepend(box);
}

function take(line, form, isNew) {
  if (line.address) {
    composer().querySelector("[data-problem]")?.remove();
    turns.querySelector("[data-chat-empty]")?.remove();
    if (!isNew) form.closest("[data-answer]").replaceWith(...new DOMParser().parseFromString(line.html, "text/html").querySelectorAll("[data-answer]"));
    else turns.insertAdjacentHTML("beforeend", line.html);
    composer().elements.conversation.value = line.conversation;
    composer().elements.token.value = line.token;
    if (isNew) composer().elements.text.value = "";
    document.querySelector("[data-chat-title]").textContent = line.title;
    history.replaceState(null, "", line.address);
  } else if (line.html) {
    answer(line.key).outerHTML = line.html;
    htmx.process(answer(line.key));
  } else {
    answer(line.key).querySelector("[data-answer-wait]")?.remove();
    answer(line.key).querySelector("[data-answer-text]").append(line.text);
  }
  if (isNew) composer().scrollIntoView({ block: "nearest" });
}

async function send(form) {
  if (running) return;
  const isNew = form === composer();
  setRunning(new AbortController());
  try {
    const response = await fetch(form.action, { method: "POST", body: new FormData(form), headers: { Accept: "application/x-ndjson" }, signal: running.signal });
    if (response.status === 409) location.assign(response.headers.get("Location"));
    else if (response.status === 422) composer().outerHTML = await response.text();
    else if (response.redirected) location.assign(response.url);
    else if (!response.ok) throw new Error(String(response.status));
    else {
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = "", part = await reader.read(); !part.done; part = await reader.read()) {
        const lines = (rest + part.value).split("\n");
        rest = lines.pop();
        for (const line of lines) take(JSON.parse(line), form, isNew);
      }
    }
  } catch (error) {
    if (error.name !== "AbortError") showProblem(composer().dataset.lost);
  }
  setRunning(null);
  for (const open of turns.querySelectorAll("[data-answer][hx-trigger]")) htmx.process(open); // stopped: asks how it ended
}

document.addEventListener("submit", (event) => {
  if (!event.target.matches("[data-chat], [data-chat-again]")) return;
  event.preventDefault();
  send(event.target);
});
document.addEventListener("click", (event) => event.target.closest("[data-chat-stop]") && running?.abort());
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") running?.abort();
  if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return;
  if (!event.target.matches("[data-composer-text]") || event.ctrlKey || event.metaKey) return;
  event.preventDefault();
  composer().requestSubmit();
});
