// Copies of other tasks that no open page cares for any more, from a crash or a lost connection, go to the server.
import { keysOf, read, send } from "./copies.js";
import { box, editor, key } from "./draft.js";

const OLD = 60_000; // ms

document.addEventListener("DOMContentLoaded", async () => {
  if (!editor()) return;
  const isOld = (name) => name !== key() && Date.now() - read(name)?.at > OLD;
  const sent = await Promise.all(keysOf(editor().dataset.editor.split(".")[1]).filter(isOld).map(send));
  if (sent.some(Boolean)) document.dispatchEvent(new CustomEvent("emend:say", { detail: box().dataset.rescued }));
});
