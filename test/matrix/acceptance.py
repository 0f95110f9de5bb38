"""What a user of the official Python SDK writes: acceptance.py <base URL> <key> <file>.

It runs unchanged with every major version that people have.
"""

import io
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import openai
from openai import OpenAI

BASE_URL, KEY, PATH = sys.argv[1:4]
ENDED = {"completed", "failed", "expired", "cancelled"}
client = OpenAI(base_url=BASE_URL, api_key=KEY)


def line(custom_id, **body):
    body = {"model": "example-model", "messages": [{"role": "user", "content": f"Say {custom_id}"}], **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


def create(file_id):
    return client.batches.create(input_file_id=file_id, endpoint="/v1/chat/completions", completion_window="24h")


def wait(batch):
    deadline = time.monotonic() + 90
    while batch.status not in ENDED:
        assert time.monotonic() < deadline, batch
        assert batch.request_counts.completed <= batch.request_counts.total
        time.sleep(0.2)
        batch = client.batches.retrieve(batch.id)
    return batch


def refused(kind, call):
    try:
        call()
    except kind as error:
        assert error.request_id, error
        return error
    raise AssertionError(f"no {kind.__name__}")


# Every form of upload that the SDK offers.
two = (line("a") + line("b")).encode()
with open(PATH, "rb") as source:
    uploads = [client.files.create(file=source, purpose="batch")]
uploads.append(client.files.create(file=Path(PATH), purpose="batch"))
uploads.append(client.files.create(file=two, purpose="batch"))
uploads.append(client.files.create(file=io.BytesIO(two), purpose="batch"))
uploads.append(client.files.create(file=("tuple.jsonl", two), purpose="batch"))
uploads.append(client.files.create(file=("typed.jsonl", io.BytesIO(two), "application/jsonl"), purpose="batch"))
uploads.append(client.files.create(file=("headers.jsonl", two, "application/jsonl", {"x-part": "1"}), purpose="batch"))
with tempfile.TemporaryFile() as anonymous:  # Its name is the number of its descriptor.
    anonymous.write(two)
    anonymous.seek(0)
    uploads.append(client.files.create(file=anonymous, purpose="batch"))
    descriptor = str(anonymous.fileno())
for file in uploads:
    assert (file.object, file.purpose, file.status) == ("file", "batch", "processed"), file
    assert client.files.wait_for_processing(file.id).id == file.id
    assert file.expires_at == file.created_at + 2592000, file
    content = Path(PATH).read_bytes() if file.filename == os.path.basename(PATH) else two
    assert client.files.content(file.id).content == content, file
assert [file.filename for file in uploads] == [
    os.path.basename(PATH), os.path.basename(PATH), "upload", "upload", "tuple.jsonl", "typed.jsonl",
    "headers.jsonl", descriptor,
], uploads  # fmt: skip

# Create, poll, download, read the answers.
created = create(uploads[0].id)
assert created._request_id
batch = wait(created)
assert batch.status == "completed", batch
assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (40, 39, 1), batch
content = client.files.content(batch.output_file_id)
answers = [json.loads(row) for row in content.text.split("\n") if row]
assert len(answers) == 39 == len(content.text.splitlines()) == len(list(content.iter_lines()))
assert all(answer["response"]["body"]["choices"][0]["message"]["content"] for answer in answers)
assert content.read() == content.content == content.text.encode()
errors = [json.loads(row) for row in client.files.content(batch.error_file_id).text.splitlines()]
assert [(row["response"]["status_code"], row["error"]) for row in errors] == [(400, None)], errors
with client.files.with_streaming_response.content(batch.output_file_id) as streamed:
    assert b"".join(streamed.iter_bytes()) == content.content
with tempfile.TemporaryDirectory() as folder:
    path = Path(folder, "output.jsonl")
    content.write_to_file(path)
    assert path.read_bytes() == content.content
assert client.batches.with_raw_response.retrieve(batch.id).parse().id == batch.id
counts = wait(create(uploads[2].id)).request_counts
assert (counts.total, counts.completed, counts.failed) == (2, 2, 0), counts

# A batch with a line that the upstream refuses, and one with a line that is no request.
mixed, wrong = line("good") + line("bad", user="status=400"), line("a") + "{invalid json here"
mixed, failed = [wait(create(client.files.create(file=text.encode(), purpose="batch").id)) for text in (mixed, wrong)]
assert (mixed.status, mixed.request_counts.completed, mixed.request_counts.failed) == ("completed", 1, 1), mixed
assert failed.status == "failed", failed
assert [(e.code, e.line, e.param) for e in failed.errors.data] == [("invalid_json_line", 2, None)], failed

# Cancel.
hanging = "".join(line(f"hang-{number}", user="mode=hang") for number in range(3))
slow = create(client.files.create(file=hanging.encode(), purpose="batch").id)
assert client.batches.cancel(slow.id).status == "cancelling"
slow = wait(client.batches.retrieve(slow.id))
assert slow.status == "cancelled" and slow.output_file_id is None, slow

# Error classes.
error = refused(openai.ConflictError, lambda: client.batches.cancel(batch.id))
assert "Cannot cancel a batch with status 'completed'." in error.message and error.type == "invalid_request_error", error
assert "No batch found" in refused(openai.NotFoundError, lambda: client.batches.retrieve("batch_unknown")).message
assert refused(openai.NotFoundError, lambda: client.files.retrieve("file-unknown")).param == "id"
assert "Invalid file format" in refused(openai.BadRequestError, lambda: client.files.create(file=b"", purpose="batch")).message
bad = dict(input_file_id=uploads[0].id, endpoint="/v1/foo", completion_window="24h")
assert refused(openai.BadRequestError, lambda: client.batches.create(**bad)).code == "invalid_value"
assert refused(openai.AuthenticationError, lambda: OpenAI(base_url=BASE_URL, api_key="wrong").batches.list()).status_code == 401

# Pages.
ids = [each.id for each in client.batches.list(limit=2)]
assert len(ids) == len(set(ids)) == 5, ids
ids = [each.id for each in client.files.list(limit=4, purpose="batch")]
assert len(ids) == len(set(ids)) == len(uploads) + 3, ids  # Those of the last three batches too.

# Delete.
assert client.files.delete(uploads[0].id).deleted
refused(openai.NotFoundError, lambda: client.files.content(uploads[0].id))
print("ok openai", openai.__version__)
