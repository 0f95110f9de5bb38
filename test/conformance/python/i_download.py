import hashlib
import sys

from harness import case, client, run

OUTPUT = sys.argv[2]
api = client()


@case(103)
def content():
    answer = api.files.content(OUTPUT)
    assert len(answer.text.splitlines()) == len(list(answer.iter_lines())) == 5, answer.text
    assert answer.content.endswith(b"\n")


@case(104)
def ranges():
    whole = api.files.content(OUTPUT).content
    ten = api.files.with_raw_response.content(OUTPUT, extra_headers={"Range": "bytes=10-19"})
    assert ten.status_code == 206 and ten.content == whole[10:20], ten
    with api.files.with_streaming_response.content(OUTPUT) as streamed:
        digest = hashlib.sha256(b"".join(streamed.iter_bytes())).hexdigest()
    assert digest == hashlib.sha256(whole).hexdigest()


run()
