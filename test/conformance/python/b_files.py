import os
import tempfile
import time

import openai

from harness import case, client, line, raises, run

api = client()
directory = tempfile.mkdtemp()


def named(name, content):
    path = os.path.join(directory, name)
    with open(path, "wb") as out:
        out.write(content)
    return path


@case(11)
def upload_from_a_path():
    content = line("a").encode()
    with open(named("in.jsonl", content), "rb") as source:
        file = api.files.create(file=source, purpose="batch")
    assert (file.purpose, file.status, file.bytes, file.filename) == ("batch", "processed", len(content), "in.jsonl"), file
    assert file.object == "file" and file.expires_at == file.created_at + 2592000, file


@case(14)
def upload_of_bytes():
    file = api.files.create(file=line("a").encode(), purpose="batch")
    assert file.filename == "upload", file
    return file.id


@case(15)
def names_round_trip():
    name = 'näme "q".jsonl'
    with open(named(name, line("a").encode()), "rb") as source:
        file = api.files.create(file=source, purpose="batch")
    assert file.filename == name, file
    assert api.files.retrieve(file.id).filename == name
    assert api.files.create(file=(name, line("a").encode()), purpose="batch").filename == name


@case(17)
def expires_after():
    wanted = {"anchor": "created_at", "seconds": 3600}
    file = api.files.create(file=line("a").encode(), purpose="batch", expires_after=wanted)
    assert file.expires_at == file.created_at + 3600, file


@case(18)
def bad_expires_after():
    for wanted in ({"anchor": "created_at", "seconds": 3599}, {"anchor": "last_active_at", "seconds": 3600}):
        error = raises(
            openai.BadRequestError,
            lambda: api.files.create(file=line("a").encode(), purpose="batch", expires_after=wanted),
        )
        assert error.param.startswith("expires_after"), error.param


@case(20)
def empty_file():
    for content in (b"", b"\n \n"):
        error = raises(openai.BadRequestError, lambda: api.files.create(file=content, purpose="batch"))
        assert "Invalid file format" in error.message and "jsonl" in error.message, error.message


@case(25)
def reads():
    file = api.files.create(file=line("a").encode(), purpose="batch")
    assert api.files.retrieve(file.id).id == file.id
    assert file.id in [each.id for each in api.files.list(purpose="batch")]
    began = time.monotonic()
    # Who has to ask twice waits for a minute.
    assert api.files.wait_for_processing(file.id, poll_interval=60).status == "processed"
    assert time.monotonic() - began < 30


@case(28)
def content():
    sent = (line("a") + line("b", user="ünïcode \u2028")).encode()
    file = api.files.create(file=sent, purpose="batch")
    assert api.files.content(file.id).content == sent


run()
