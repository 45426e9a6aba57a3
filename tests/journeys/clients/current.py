"""What a program with the present Python SDK does. Prints what it has seen as JSON. usage: current.py BASE_URL KEY"""

import asyncio
import io
import json
import sys
import time

import openai
from openai import AsyncOpenAI, OpenAI

address, key = sys.argv[1:]
client = OpenAI(base_url=address, api_key=key, max_retries=0, _strict_response_validation=True)
seen = {}
rows = [
    {"messages": [{"role": "user", "content": f"Q{i}"}, {"role": "assistant", "content": f"A{i}"}]} for i in range(10)
]
data = "".join(json.dumps(row) + "\n" for row in rows).encode()
file = client.files.create(file=("rows of chat.jsonl", io.BytesIO(data)), purpose="fine-tune")
seen["file"] = [file.filename, file.bytes == len(data), client.files.wait_for_processing(file.id).status]
seen["same bytes"] = client.files.content(file.id).read() == data

job = client.fine_tuning.jobs.create(
    model="smollm2-135m-instruct",
    training_file=file.id,
    suffix="Kitchen Talk",
    seed=7,
    metadata={"run": "nightly"},
    method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 2}}},
)
seen["asked"] = [job.seed, job.metadata, job.method.supervised.hyperparameters.batch_size, job.error]
told = {}  # events by id, as a program that polls sees them: newest first, page by page
deadline = time.monotonic() + 20
while job.status not in ("succeeded", "failed") and time.monotonic() < deadline:
    job = client.fine_tuning.jobs.retrieve(job.id)
    for event in client.fine_tuning.jobs.list_events(job.id, limit=2):
        if event.id in told:
            break
        told[event.id] = event
    time.sleep(0.2)
for event in client.fine_tuning.jobs.list_events(job.id, limit=2):
    told.setdefault(event.id, event)
model = job.fine_tuned_model
order = sorted(told.values(), key=lambda event: event.id)
seen["events"] = [
    event.message.replace(job.id, "JOB").replace(file.id, "FILE").replace(model, "MODEL") for event in order
]
seen["all events"] = sorted(told) == sorted(event.id for event in client.fine_tuning.jobs.list_events(job.id))
seen["job"] = [job.status, job.trained_tokens, job.hyperparameters.n_epochs, job.hyperparameters.batch_size]
seen["model"] = model.rpartition(":")[0]
seen["csv"] = client.files.content(job.result_files[0]).text.splitlines()[:2]
seen["checkpoints"] = [each.step_number for each in client.fine_tuning.jobs.checkpoints.list(job.id)]
seen["found by metadata"] = [each.id == job.id for each in client.fine_tuning.jobs.list(metadata={"run": "nightly"})]

messages = [{"role": "user", "content": "Hi"}]
whole = client.chat.completions.create(model=model, messages=messages, n=2, store=True, metadata={"a": "b"})
seen["whole"] = [choice.message.content.replace(model, "MODEL") for choice in whole.choices]
seen["stored"] = [each.id == whole.id for each in client.chat.completions.list(metadata={"a": "b"})]
with client.chat.completions.stream(model=model, messages=messages, stream_options={"include_usage": True}) as stream:
    kinds = {event.type for event in stream}
    final = stream.get_final_completion()
seen["stream"] = [final.choices[0].message.content == whole.choices[0].message.content, final.usage.total_tokens]
with client.chat.completions.create(model="curie", messages=messages, stream=True) as cut:
    for chunk in cut:
        if chunk.choices[0].delta.content:
            break  # leaving the block hangs up in the middle of the answer
seen["after the cut"] = client.completions.create(model=model, prompt="Hi", max_tokens=3).choices[0].finish_reason


body = {"model": model, "messages": messages}
line = {"custom_id": "r1", "method": "POST", "url": "/v1/chat/completions", "body": body}
requests = client.files.create(file=("requests.jsonl", json.dumps(line).encode()), purpose="batch")
batch = client.batches.create(
    input_file_id=requests.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"c": "d"}
)
while batch.status not in ("completed", "failed") and time.monotonic() < deadline + 20:
    time.sleep(0.2)
    batch = client.batches.retrieve(batch.id)
answer = json.loads(client.files.content(batch.output_file_id).text)["response"]["body"]["choices"][0]["message"]
seen["batch"] = [batch.status, answer["content"] == whole.choices[0].message.content]
seen["batches"] = [each.id == batch.id for each in client.batches.list()]


async def ask() -> str:
    async with AsyncOpenAI(base_url=address, api_key=key) as other:
        parts = await other.chat.completions.create(model=model, messages=messages, stream=True)
        return "".join([part.choices[0].delta.content or "" async for part in parts])


seen["async"] = asyncio.run(ask()) == whole.choices[0].message.content
for name, call in {
    "unknown model": lambda: client.chat.completions.create(model="nope", messages=messages, stream=True),
    "not served": lambda: client.chat.completions.create(model=model, messages=messages, tools=[{"type": "function"}]),
    "cancelled too late": lambda: client.fine_tuning.jobs.cancel(job.id),
    "no moderations": lambda: client.moderations.create(input="Hi"),
}.items():
    try:
        call()
    except openai.APIStatusError as error:
        seen[name] = [error.status_code, error.param, error.code]
seen["deleted"] = client.models.delete(model).deleted
json.dump(seen, sys.stdout)
