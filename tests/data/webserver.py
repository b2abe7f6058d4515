"""A small web server with ranges that misbehaves on demand: the other end of the download tests."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Site:
    """What is served, and how badly.

    `drops` are the numbers of bytes after which the next answers break off, one for each; `statuses` are answered
    first, one for each request.
    """

    content: bytes = b""
    etag: str | None = '"one"'
    modified: str | None = None
    ranges: bool = True
    length: bool = True
    kind: str = "application/octet-stream"
    drops: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    retry_after: str | None = None
    asked: list[dict[str, str]] = field(default_factory=list)
    port: int = 0

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/data/file.bin"

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]


class _Server(ThreadingHTTPServer):
    site: Site


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        site = self.server.site
        site.asked.append(dict(self.headers))
        start = self._start()
        if site.statuses:
            self._refuse(site.statuses.pop(0), {"Retry-After": site.retry_after})
        elif start is not None and start >= len(site.content):
            self._refuse(416, {"Content-Range": f"bytes */{len(site.content)}"})
        else:
            self._send(start)

    def _start(self) -> int | None:
        """First byte asked for; None where the whole is asked for, or must be sent."""
        site, asked, condition = self.server.site, self.headers.get("Range"), self.headers.get("If-Range")
        another = condition is not None and condition not in {site.etag, site.modified}
        if asked is None or another or not site.ranges:
            return None
        return int(asked.removeprefix("bytes=").partition("-")[0])

    def _refuse(self, status: int, headers: dict[str, str | None]) -> None:
        self.send_response(status)
        self._send_headers(headers | {"Content-Length": "0"})

    def _send(self, start: int | None) -> None:
        site, total = self.server.site, len(self.server.site.content)
        body = site.content[start or 0 :]
        self.send_response(200 if start is None else 206)
        span = None if start is None else f"bytes {start}-{total - 1}/{total}"
        length = str(len(body)) if site.length else None
        named = {"ETag": site.etag, "Last-Modified": site.modified, "Content-Type": site.kind}
        self._send_headers(named | {"Content-Range": span, "Content-Length": length})
        with suppress(ConnectionError):  # the client may have heard enough
            self.wfile.write(body[: site.drops.pop(0)] if site.drops else body)

    def _send_headers(self, headers: dict[str, str | None]) -> None:
        for name, value in headers.items():
            if value:
                self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(site: Site) -> Iterator[Site]:
    """Serve the site until the block ends."""
    server = _Server(("127.0.0.1", 0), _Handler)
    server.site, site.port = site, server.server_port
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
