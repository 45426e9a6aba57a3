"""What programs of 2023 do with openai 0.28. Prints what it has seen as JSON. usage: legacy.py FILE MODEL"""

import json
import sys
from pathlib import Path

import openai

path, model = sys.argv[1:]
seen = {}
with Path(path).open("rb") as file:
    file_id = openai.File.create(file=file, purpose="fine-tune").id
job = openai.FineTune.create(training_file=file_id, n_epochs=2)
seen["default model"] = job.model
events = iter(openai.FineTune.stream_events(job.id))
first = next(events)
seen["first event"] = first.message.replace(job.id, "ID")
seen["status"] = openai.FineTune.retrieve(job.id).status  # while the stream is open
try:
    openai.FineTune.delete(job.id)
except openai.error.InvalidRequestError as error:
    seen["unfinished"] = [error.http_status, error.param]
openai.FineTune.cancel(id=job.id)
seen["last event"] = [event.message for event in events][-1]
cancelled = openai.FineTune.retrieve(job.id)
seen["cancelled"] = [cancelled.status, cancelled.fine_tuned_model, cancelled.result_files]
try:
    openai.FineTune.cancel(id=job.id)
except openai.error.InvalidRequestError as error:
    seen["again"] = [error.http_status, error.error.type]
seen["deleted"] = openai.FineTune.delete(job.id).deleted
seen["listed"] = job.id in [each.id for each in openai.FineTune.list().data]
for name, ask in {
    "unknown job": lambda: openai.FineTune.retrieve("ft-nope"),
    "unknown model": lambda: openai.Completion.create(model="nope", prompt="x"),
    "unknown file": lambda: openai.File.retrieve("/no/such file.jsonl"),
    "not served": lambda: openai.Completion.create(model=model, prompt="x", logit_bias={"50256": -100}),
}.items():
    try:
        ask()
    except openai.error.InvalidRequestError as error:
        seen[name] = [error.http_status, error.param, error.code]
try:
    openai.Model.list(api_key="sk-wrong")
except openai.error.AuthenticationError as error:
    seen["wrong key"] = error.http_status
answers = openai.Completion.create(model=model, prompt=["a", "b"], max_tokens=2, n=2)
seen["indexes"] = [choice.index for choice in answers.choices]
parts = openai.ChatCompletion.create(model=model, messages=[{"role": "user", "content": "Hi"}], stream=True)
seen["chat"] = "".join(part.choices[0].delta.get("content", "") for part in parts)
json.dump(seen, sys.stdout)
