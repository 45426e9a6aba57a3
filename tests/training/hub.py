"""As much of a Hub as an upload asks for."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Hub(BaseHTTPRequestHandler):
    """Takes small files. Any other token than "good" is refused."""

    uploads: dict[str, bytes] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Authorization") != "Bearer good":
            self._answer(401, {"error": "Invalid credentials"})
        elif self.path.endswith("/repos/create"):
            self._answer(200, {"url": f"http://{self.headers['Host']}/datasets/us/rows", "name": "us/rows"})
        elif "/preupload/" in self.path:
            files = [each | {"uploadMode": "regular", "shouldIgnore": False} for each in json.loads(body)["files"]]
            self._answer(200, {"files": files})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                value = json.loads(line)["value"]
                if "path" in value:
                    self.uploads[value["path"]] = base64.b64decode(value["content"])
            address = f"http://{self.headers['Host']}/datasets/us/rows/commit/1"
            self._answer(200, {"commitUrl": address, "commitOid": "1", "success": True, "hookOutput": ""})
        else:
            self._answer(200, {"errors": [], "warnings": []})

    def do_GET(self) -> None:
        self._answer(200, {"id": "us/rows", "sha": "0", "siblings": [], "private": True, "tags": []})

    def _answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_args: object) -> None:
        pass


@contextmanager
def serve_hub() -> Iterator[str]:
    """Yield the address of a Hub that has nothing yet."""
    Hub.uploads = {}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
