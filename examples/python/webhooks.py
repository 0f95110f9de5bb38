"""Listens for the webhooks of batches and prints how each batch ended.

    pip install openai
    python webhooks.py https://example.com/hooks/nightshift 8080

The URL must reach this program at the port. Ctrl-C deletes the endpoint.
"""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from openai import InvalidWebhookSignatureError, OpenAI

client = OpenAI(
    base_url=os.environ.get("NIGHTSHIFT_BASE_URL", "http://127.0.0.1:7800/v1"),
    api_key=os.environ.get("NIGHTSHIFT_API_KEY", "local-key"),
)


def create_endpoint(url):
    endpoint = client.webhooks.create(
        name="night runs",
        url=url,
        event_types=["batch.completed", "batch.failed", "batch.expired", "batch.cancelled"],
    )
    client.webhooks.test(endpoint.id, event_type="batch.completed")
    return endpoint  # endpoint.signing_secret is shown here and never again


def receive(body, headers, secret):
    event = client.webhooks.unwrap(body, headers, secret=secret)
    if event.type == "batch.completed":
        batch = client.batches.retrieve(event.data.id)
        print(batch.id, batch.status, batch.output_file_id, flush=True)
    else:
        print(event.data.id, event.type, flush=True)


class Receiver(BaseHTTPRequestHandler):
    secret = None  # not known before the endpoint is created, which sends a first test

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        try:
            if self.secret is not None:
                receive(body, dict(self.headers), self.secret)
            self.send_response(200)
        except InvalidWebhookSignatureError:
            self.send_response(400)
        self.end_headers()

    def log_message(self, *_):
        pass


def main(url, port):
    server = HTTPServer(("127.0.0.1", int(port)), Receiver)
    serving = Thread(target=server.serve_forever, daemon=True)
    serving.start()
    endpoint = create_endpoint(url)
    Receiver.secret = endpoint.signing_secret
    print("listening", flush=True)
    try:
        serving.join()
    except KeyboardInterrupt:
        pass
    finally:
        client.webhooks.delete(endpoint.id)


main(*sys.argv[1:])
