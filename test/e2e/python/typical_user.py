"""What a user of the official Python SDK writes; only base_url and key are given from outside."""

import io
import json
import sys
import time

import openai
from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key=sys.argv[2])
ENDED = {"completed", "failed", "expired", "cancelled"}


def line(custom_id, **body):
    body = {"model": "example-model", "messages": [{"role": "user", "content": f"Say {custom_id}"}], **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body})


def submit(lines, **options):
    file = client.files.create(file=io.BytesIO("\n".join(lines).encode()), purpose="batch")
    assert file.purpose == "batch" and file.status == "processed", file
    return client.batches.create(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", **options
    )


def wait(batch):
    deadline = time.monotonic() + 120
    while batch.status not in ENDED:
        assert time.monotonic() < deadline, batch
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    return batch


# Upload from a path, create, poll, download, parse.
with open(sys.argv[3], "rb") as source:
    uploaded = client.files.create(file=source, purpose="batch")
assert uploaded.filename == "first-batch.jsonl", uploaded
assert uploaded.expires_at == uploaded.created_at + 2592000, uploaded
assert client.files.wait_for_processing(uploaded.id).id == uploaded.id
batch = client.batches.create(
    input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"team": "docs"}
)
assert batch._request_id
batch = wait(batch)
assert batch.status == "completed", batch
assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (40, 39, 1), batch
content = client.files.content(batch.output_file_id)
rows = [json.loads(row) for row in content.text.splitlines()]
assert len(rows) == 39 == len(list(content.iter_lines()))
assert all(row["response"]["body"]["choices"][0]["message"]["content"] for row in rows)
errors = [json.loads(row) for row in client.files.content(batch.error_file_id).text.splitlines()]
assert [row["response"]["status_code"] for row in errors] == [400] and errors[0]["error"] is None, errors

# A mixed one.
mixed = wait(submit([line("good"), line("bad", user="status=400")]))
assert (mixed.request_counts.completed, mixed.request_counts.failed) == (1, 1), mixed

# A failed one.
failed = wait(submit([line("a"), "{invalid json here"]))
assert failed.status == "failed", failed
assert [(e.code, e.line, e.param) for e in failed.errors.data] == [("invalid_json_line", 2, None)], failed
try:
    client.files.create(file=b"", purpose="batch")
    raise SystemExit("an empty file was taken")
except openai.BadRequestError as error:
    assert "Invalid file format" in error.message and error.request_id, error

# Cancel, and cancel again.
running = submit([line(f"hang-{n}", user="mode=hang") for n in range(20)])
while running.status == "validating":
    time.sleep(0.1)
    running = client.batches.retrieve(running.id)
assert client.batches.cancel(running.id).status == "cancelling"
cancelled = wait(client.batches.retrieve(running.id))
assert cancelled.status == "cancelled" and cancelled.output_file_id is None, cancelled
assert len(client.files.content(cancelled.error_file_id).text.splitlines()) == 20
try:
    client.batches.cancel(batch.id)
    raise SystemExit("a completed batch was cancelled")
except openai.ConflictError as error:
    assert "Cannot cancel a batch with status 'completed'." in error.message, error
try:
    client.batches.retrieve("batch_" + "0" * 32)
    raise SystemExit("an unknown batch was found")
except openai.NotFoundError as error:
    assert "No batch found" in error.message, error

# Paging.
ids = [each.id for each in client.batches.list(limit=2)]
assert len(ids) == len(set(ids)) == 4, ids
names = [each.filename for each in client.files.list(limit=3, purpose="batch")]
assert len(names) == 4 and names[-1] == "first-batch.jsonl" and names[0] == "upload", names
with client.files.with_streaming_response.content(batch.output_file_id) as streamed:
    assert sum(len(chunk) for chunk in streamed.iter_bytes()) == client.files.retrieve(batch.output_file_id).bytes
deleted = client.files.delete(uploaded.id)
assert deleted.deleted and deleted.id == uploaded.id
try:
    client.files.retrieve(uploaded.id)
    raise SystemExit("a deleted file was found")
except openai.NotFoundError as error:
    assert f"No such File object: {uploaded.id}" in error.message and error.param == "id", error
print("ok", openai.__version__)
