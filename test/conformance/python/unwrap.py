import json
import sys

import openai

given = json.load(sys.stdin)
client = openai.OpenAI(api_key="none", base_url="http://127.0.0.1:1")
event = client.webhooks.unwrap(given["body"], given["headers"], secret=given["secret"])
try:
    client.webhooks.unwrap(given["body"] + " ", given["headers"], secret=given["secret"])
    raise SystemExit("a changed body was taken")
except openai.InvalidWebhookSignatureError:
    print(json.dumps({"type": event.type, "id": event.data.id}))
