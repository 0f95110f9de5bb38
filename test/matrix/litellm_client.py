"""LiteLLM's own calls for files and batches: litellm_client.py <base URL> <key>."""

import json
import os
import sys
import time

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # It would fetch its price list from the network.

import litellm

at = dict(custom_llm_provider="openai", api_base=sys.argv[1], api_key=sys.argv[2])


def line(custom_id, **body):
    body = {"model": "example-model", "messages": [{"role": "user", "content": f"Say {custom_id}"}], **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


def run(content):
    file = litellm.create_file(file=("input.jsonl", content.encode()), purpose="batch", **at)
    batch = litellm.create_batch(
        input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h", metadata={"by": "litellm"}, **at
    )
    assert batch.status == "validating" and batch.metadata == {"by": "litellm"}, batch
    return file, batch


def wait(batch):
    deadline = time.monotonic() + 90
    while batch.status not in {"completed", "failed", "expired", "cancelled"}:
        assert time.monotonic() < deadline, batch
        time.sleep(0.2)
        batch = litellm.retrieve_batch(batch_id=batch.id, **at)
    return batch


file, batch = run(line("good") + line("bad", user="status=400"))
batch = wait(batch)
assert batch.status == "completed", batch
assert (batch.request_counts.total, batch.request_counts.completed, batch.request_counts.failed) == (2, 1, 1), batch
rows = [json.loads(row) for row in litellm.file_content(file_id=batch.output_file_id, **at).text.splitlines()]
assert [row["custom_id"] for row in rows] == ["good"], rows
rows = [json.loads(row) for row in litellm.file_content(file_id=batch.error_file_id, **at).text.splitlines()]
assert [row["response"]["status_code"] for row in rows] == [400], rows

_, slow = run(line("never", user="mode=hang"))
assert litellm.cancel_batch(batch_id=slow.id, **at).status in {"cancelling", "cancelled"}
assert wait(slow).status == "cancelled"
assert {each.id for each in litellm.list_batches(**at).data} >= {batch.id, slow.id}
assert litellm.file_retrieve(file_id=file.id, **at).id == file.id
assert litellm.file_delete(file_id=file.id, **at).deleted
print("ok litellm")
