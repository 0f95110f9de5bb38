import sys

import openai

from harness import case, client, line, raises, run

CAP = int(sys.argv[2])
HARD_CAP = int(sys.argv[3])

api = client()


@case(22)
def caps():
    head = b'{"a":1}\n'
    assert api.files.create(file=head + b" " * (CAP - len(head)), purpose="batch").bytes == CAP
    error = raises(openai.BadRequestError, lambda: api.files.create(file=head + b" " * (CAP + 1 - len(head)), purpose="batch"))
    assert error.code == "file_too_large" and "File is too large." in error.message, error
    error = raises(openai.APIStatusError, lambda: api.files.create(file=head + b" " * HARD_CAP, purpose="user_data"))
    assert error.status_code == 413 and error.code == "file_too_large", error


@case(26)
def pages_in_order():
    mine = client("key-python-pages")
    made = [mine.files.create(file=line(str(n)).encode(), purpose="batch").id for n in range(5)]
    assert [each.id for each in mine.files.list(order="asc", limit=2)] == made


@case(27)
def delete():
    file = api.files.create(file=line("a").encode(), purpose="batch")
    gone = api.files.delete(file.id)
    assert (gone.id, gone.object, gone.deleted) == (file.id, "file", True), gone
    for call in (api.files.retrieve, api.files.content, api.files.delete):
        error = raises(openai.NotFoundError, lambda: call(file.id))
        assert f"No such File object: {file.id}" in error.message and error.param == "id", error


@case(29)
def forbidden_content():
    file = api.files.create(file=b"notes", purpose="user_data")
    error = raises(openai.BadRequestError, lambda: api.files.content(file.id))
    assert "Not allowed to download files of purpose: user_data" in error.message, error


run()
