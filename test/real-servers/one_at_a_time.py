"""A server as people write them, until stdin ends: python one_at_a_time.py PORT MILLISECONDS

It answers one embeddings request after the other, closes the connection after each, and has a listen backlog of 5.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer


class Embeddings(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.answer(404, {"error": {"message": "not found"}})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(int(sys.argv[2]) / 1000)
        vector = {"object": "embedding", "index": 0, "embedding": [0.5, 0.5]}
        self.answer(200, {"object": "list", "model": "small", "data": [vector], "usage": {"prompt_tokens": 1, "total_tokens": 1}})

    def answer(self, status: int, body: dict) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


HTTPServer.request_queue_size = 5
server = HTTPServer(("127.0.0.1", int(sys.argv[1])), Embeddings)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
