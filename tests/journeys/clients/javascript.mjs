// What a program with the official JavaScript SDK does. Prints what it has seen as JSON.
// usage: node javascript.mjs FOLDER_OF_THE_SDK BASE_URL KEY

import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [folder, baseURL, apiKey] = process.argv.slice(2);
const { default: OpenAI, toFile } = await import(
  pathToFileURL(createRequire(`${folder}/`).resolve("openai")).href
);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const seen = {};

const rows = Array.from({ length: 10 }, (_, i) => ({ prompt: `Question ${i} ->`, completion: ` answer ${i}\n` }));
const data = rows.map((row) => JSON.stringify(row) + "\n").join("");
const file = await client.files.create({ file: await toFile(Buffer.from(data), "rows.jsonl"), purpose: "fine-tune" });
seen.file = [file.filename, file.bytes === data.length];
seen.same_bytes = (await (await client.files.content(file.id)).text()) === data;

let job = await client.fineTuning.jobs.create({
  model: "curie",
  training_file: file.id,
  method: { type: "supervised", supervised: { hyperparameters: { n_epochs: 2 } } },
});
for (let i = 0; i < 100 && !["succeeded", "failed"].includes(job.status); i++) {
  await new Promise((resolve) => setTimeout(resolve, 200));
  job = await client.fineTuning.jobs.retrieve(job.id);
}
const model = job.fine_tuned_model;
seen.job = [job.status, job.trained_tokens];
const events = [];
for await (const event of client.fineTuning.jobs.listEvents(job.id, { limit: 2 })) events.push(event.message);
seen.events = events.map((text) => text.replace(job.id, "JOB").replace(file.id, "FILE").replace(model, "MODEL")).reverse();

const messages = [{ role: "user", content: "Hi" }];
const whole = await client.chat.completions.create({ model, messages });
seen.whole = whole.choices[0].message.content.replace(model, "MODEL");
let text = "";
let usage = null;
for await (const chunk of await client.chat.completions.create({
  model,
  messages,
  stream: true,
  stream_options: { include_usage: true },
})) {
  text += chunk.choices[0]?.delta.content ?? "";
  usage = chunk.usage ?? usage;
}
seen.stream = [text === whole.choices[0].message.content, usage.total_tokens];
const final = await client.chat.completions.stream({ model, messages }).finalChatCompletion();
seen.helper = final.choices[0].message.content === text;
for await (const _ of await client.chat.completions.create({ model: "davinci", messages, stream: true })) break;
seen.after_the_cut = (await client.completions.create({ model, prompt: "Hi" })).choices[0].finish_reason;

const refusals = {
  unknown_model: () => client.chat.completions.create({ model: "nope", messages }),
  not_served: () => client.chat.completions.create({ model, messages, response_format: { type: "json_object" } }),
  unknown_job: () => client.fineTuning.jobs.retrieve("ftjob-nope"),
};
for (const [name, ask] of Object.entries(refusals)) {
  await ask().catch((error) => {
    seen[name] = [error.status, error.param, error.code];
  });
}
seen.wrong_key = await new OpenAI({ baseURL, apiKey: "sk-wrong" }).models.list().catch((error) => error.status);
seen.deleted = (await client.models.delete(model)).deleted;
console.log(JSON.stringify(seen));
