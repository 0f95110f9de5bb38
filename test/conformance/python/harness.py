"""Runs the cases of a script one by one and prints one JSON object per case; a failed case stops no other."""

import json
import sys
import traceback

from openai import OpenAI

BASE_URL = sys.argv[1]
_cases = []


def client(key="key-a", **options):
    return OpenAI(base_url=BASE_URL, api_key=key, **options)


def line(custom_id, **body):
    body = {"model": "example-model", "messages": [{"role": "user", "content": f"Say {custom_id}"}], **body}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": "/v1/chat/completions", "body": body}) + "\n"


def case(number):
    def register(function):
        _cases.append((number, function))
        return function

    return register


def raises(kind, function):
    try:
        function()
    except kind as error:
        return error
    raise AssertionError(f"{kind.__name__} was not raised")


def run():
    for number, function in _cases:
        verdict = {"case": number, "ok": True, "detail": "", "value": None}
        try:
            verdict["value"] = function()
        except BaseException:
            verdict.update(ok=False, detail=traceback.format_exc())
        print(json.dumps(verdict), flush=True)
