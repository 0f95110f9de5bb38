import sys

from harness import case, client, run


@case(75)
def lines():
    api = client()
    for file_id, count in zip(sys.argv[2::2], sys.argv[3::2]):
        content = api.files.content(file_id)
        assert len(content.text.splitlines()) == int(count), content.text
        assert len(list(content.iter_lines())) == int(count)


run()
