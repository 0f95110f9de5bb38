"""Uploads a file in chunks with the official Python SDK's own helper, once from memory and once from disk, and prints what it got."""

import hashlib
import json
import pathlib
import sys

from openai import OpenAI

client = OpenAI(base_url=sys.argv[1], api_key=sys.argv[2], max_retries=0)
path = pathlib.Path(sys.argv[3])
content = path.read_bytes()
md5 = hashlib.md5(content).hexdigest()

from_disk = client.uploads.upload_file_chunked(
    file=path, mime_type="application/jsonl", purpose="batch", part_size=100_000, md5=md5
)
from_memory = client.uploads.upload_file_chunked(
    file=content, filename="memory.jsonl", bytes=len(content), mime_type="application/jsonl", purpose="batch"
)
for upload in (from_disk, from_memory):
    same = client.files.content(upload.file.id).read() == content
    print(json.dumps({"status": upload.status, "filename": upload.file.filename, "bytes": upload.file.bytes, "same": same}))
