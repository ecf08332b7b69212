"""A server of data sets on this machine, sound or not."""

from __future__ import annotations

import contextlib
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Mirror(ThreadingHTTPServer):
    """A server on this machine; `pages` maps a path to its bytes, or to a way to misbehave."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.pages: dict[str, bytes | str] = {}
        self.asked: list[str] = []
        self.encodings: set[str | None] = set()
        self.closing = False

    def address(self, folder: str) -> str:
        return f"http://127.0.0.1:{self.server_port}/{folder}/"

    def serve(self, folder: str, files: dict[str, bytes]) -> str:
        self.pages |= {f"/{folder}/{name}": data for name, data in files.items()}
        return self.address(folder)


class Answer(BaseHTTPRequestHandler):
    server: Mirror

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self.server.encodings.add(self.headers["Accept-Encoding"])
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        page = self.server.pages.get(self.path, "404")
        if page == "404":
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
        elif page == "drip" and with_body:
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not self.server.closing:
                    self.wfile.write(b"x")
                    time.sleep(0.02)
        elif page == "drop" and with_body:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"\x1f\x8b only a part")
        else:
            body = page if isinstance(page, bytes) else b""
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if with_body:
                self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing on stderr."""
