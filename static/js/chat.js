// The chat: answers appear while they are written. The form works without this; here it is posted with fetch, the
// answer comes as JSON lines, and the finished answer is a piece of HTML from the server.
const turns = document.querySelector("[data-chat-turns]");
const list = document.querySelector("[data-chat-list]");
const composer = () => document.querySelector("form[data-chat]");
const answer = (key) => document.getElementById(`answer-${key}`);
let running = null;

function setRunning(controller) {
  running = controller;
  composer().querySelector("[data-chat-send]").hidden = Boolean(controller);
  composer().querySelector("[data-chat-stop]").hidden = !controller;
}

function showProblem(text) {
  const box = Object.assign(document.createElement("div"), { className: "notice notice--bad", role: "alert", textContent: text });
  box.dataset.problem = "";
  composer().querySelector("[data-problem]")?.remove();
  composer().prepend(box);
}

function open(line, form) {
  const { conversation, token, text } = composer().elements;
  composer().querySelector("[data-problem]")?.remove();
  turns.querySelector("[data-chat-empty]")?.remove();
  if (form === composer()) {
    turns.insertAdjacentHTML("beforeend", line.html);
    text.value = "";
  } else {
    const page = new DOMParser().parseFromString(line.html, "text/html");
    form.closest("[data-answer]").replaceWith(...page.querySelectorAll("[data-answer]"));
  }
  if (!conversation.value) list?.querySelector("summary").insertAdjacentHTML("afterend", line.entry);
  [conversation.value, token.value] = [line.conversation, line.token];
  document.querySelector("[data-chat-title]").textContent = line.title;
  history.replaceState(null, "", line.address);
}

function write(line) {
  if (line.html) {
    answer(line.key).outerHTML = line.html;
    htmx.process(answer(line.key));
  } else {
    answer(line.key).querySelector("[data-answer-wait]")?.remove();
    answer(line.key).querySelector("[data-answer-text]").append(line.text);
  }
}

async function read(response, form) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let rest = "", part = await reader.read(); !part.done; part = await reader.read()) {
    const atEnd = innerHeight + scrollY > document.body.scrollHeight - 120;
    const lines = (rest + part.value).split("\n");
    rest = lines.pop();
    for (const line of lines.map((each) => JSON.parse(each))) line.address ? open(line, form) : write(line);
    if (atEnd) scrollTo(0, document.body.scrollHeight);
  }
}

export async function send(form) {
  if (running) return;
  setRunning(new AbortController());
  try {
    const options = { method: "POST", body: new FormData(form), headers: { Accept: "application/x-ndjson" }, signal: running.signal };
    const response = await fetch(form.action, options);
    if (response.status === 409) location.assign(response.headers.get("Location"));
    else if (response.status === 422) composer().outerHTML = await response.text();
    else if (response.redirected) location.assign(response.url);
    else if (!response.ok) throw new Error(String(response.status));
    else await read(response, form);
  } catch (error) {
    if (error.name !== "AbortError") showProblem(composer().dataset.lost);
  }
  setRunning(null);
  for (const open of turns.querySelectorAll("[data-answer][hx-trigger]")) htmx.process(open); // stopped: asks how it ended
}

export const stop = () => running?.abort();
