from harness import case, client, run


@case(97)
def iterates():
    api = client("key-many")
    page = api.batches.list()
    assert len(page.data) == 20 and page.has_more, page
    ids = [batch.id for batch in api.batches.list()]
    assert len(ids) == len(set(ids)) == 45, ids
    return ids


run()
