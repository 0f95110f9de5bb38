import openai

from harness import case, client, raises, run


@case(7)
def request_ids():
    api = client()
    uploaded = api.files.create(file=b"{}\n", purpose="batch")
    batch = api.batches.create(input_file_id=uploaded.id, endpoint="/v1/chat/completions", completion_window="24h")
    raw = api.batches.with_raw_response.retrieve(batch.id)
    assert raw.headers["x-request-id"] == raw.parse()._request_id
    error = raises(openai.NotFoundError, lambda: api.batches.retrieve("batch_unknown"))
    assert error.request_id == error.response.headers["x-request-id"], error.request_id
    ids = [uploaded._request_id, batch._request_id, raw.headers["x-request-id"], error.request_id]
    assert all(ids) and len(set(ids)) == 4, ids


run()
