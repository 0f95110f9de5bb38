"""Runs a file of chat requests as a batch and prints every answer with its custom_id.

    pip install openai
    python run_batch.py requests.jsonl

The requests that failed are written to requests.failed.jsonl, so that you can correct them and run that file.
"""

import json
import os
import sys
import time

from openai import OpenAI

client = OpenAI(
    base_url=os.environ.get("NIGHTSHIFT_BASE_URL", "http://127.0.0.1:7800/v1"),
    api_key=os.environ.get("NIGHTSHIFT_API_KEY", "local-key"),
)


def run_batch(path, endpoint):
    with open(path, "rb") as content:
        file = client.files.create(file=content, purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")
    pause = 0.5
    while batch.status not in ("completed", "failed", "expired", "cancelled"):
        time.sleep(pause)
        pause = min(2 * pause, 30)
        batch = client.batches.retrieve(batch.id)
    return batch


def read_results(batch):
    """Returns the result lines of a batch by custom_id."""
    results = {}
    for file_id in (batch.output_file_id, batch.error_file_id):
        if file_id is not None:
            for line in client.files.content(file_id).iter_lines():
                result = json.loads(line)
                results[result["custom_id"]] = result
    return results


def describe(result):
    """Returns whether a request succeeded, and its answer or the reason why it failed."""
    if result["response"] is None:
        return False, result["error"]["message"]
    body = result["response"]["body"]
    if result["response"]["status_code"] == 200:
        return True, body["choices"][0]["message"]["content"]
    return False, f"{result['response']['status_code']} {body['error']['message']}"


def main(path):
    with open(path, encoding="utf-8") as lines:
        requests = [line.strip() for line in lines if line.strip()]
    batch = run_batch(path, endpoint=json.loads(requests[0])["url"])
    if batch.status == "failed":
        for error in batch.errors.data:
            print(f"line {error.line}: {error.message}", file=sys.stderr)
        sys.exit(1)

    results = read_results(batch)
    failed = []
    for request in requests:
        custom_id = json.loads(request)["custom_id"]
        succeeded, text = describe(results[custom_id])
        print(custom_id, "ok" if succeeded else "failed", " ".join(text.split()), sep="\t")
        if not succeeded:
            failed.append(request)

    if failed:
        retry = path.removesuffix(".jsonl") + ".failed.jsonl"
        with open(retry, "w", encoding="utf-8") as file:
            file.writelines(f"{request}\n" for request in failed)
        print(f"Failed requests: {len(failed)}. Correct them in {retry}, then run that file.", file=sys.stderr)


main(sys.argv[1])
