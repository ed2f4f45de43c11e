"""A loopback server of files that fails on request: cut bodies, changed files, statuses."""

import contextlib
import hashlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Mirror:
    """The files and the behaviour of a server.

    Attributes:
        files: content by path, such as /SPY_options.parquet.
        statuses: statuses to answer the next requests with, in place of the file.
        cuts: bytes after which the next answers break off.
        ranges: whether a Range is honoured.
        tags: whether entity tags are stated; `dated`: a time of modification.
        ignores_if_range: whether a Range is honoured even of another version.
        redirect: whether each file is answered by a redirection to /stored + its path first.
        headers: further headers, which replace others.
        asked: path, Range and If-Range of each request.
    """

    files: dict[str, bytes]
    statuses: list[int] = field(default_factory=list)
    cuts: list[int] = field(default_factory=list)
    ranges: bool = True
    tags: bool = True
    dated: str = ""
    ignores_if_range: bool = False
    redirect: bool = False
    headers: dict[str, str | None] = field(default_factory=dict)
    asked: list[tuple[str, str | None, str | None]] = field(default_factory=list)
    url: str = ""


@contextlib.contextmanager
def serving(files: dict[str, bytes], **options: Any) -> Iterator[Mirror]:
    """A running server of files."""
    mirror = Mirror({f"/{name}": content for name, content in files.items()}, **options)

    class Handler(_Handler):
        served = mirror

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    mirror.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield mirror
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    served: Mirror

    def do_GET(self) -> None:
        mirror, path = self.served, self.path
        asked, condition = self.headers.get("Range"), self.headers.get("If-Range")
        mirror.asked.append((path, asked, condition))
        if mirror.statuses:
            self._plain(mirror.statuses.pop(0), {"Retry-After": "0"})
        elif mirror.redirect and not path.startswith("/stored"):
            self._plain(302, {"Location": f"{mirror.url}/stored{path}"})
        elif (content := mirror.files.get(path.removeprefix("/stored"))) is None:
            self._plain(404, {})
        else:
            self._file(content, asked, condition)

    def _file(self, content: bytes, asked: str | None, condition: str | None) -> None:
        mirror = self.served
        tag = f'"{hashlib.md5(content).hexdigest()}"' if mirror.tags else None
        same = condition in (None, tag, mirror.dated or None) or mirror.ignores_if_range
        start = int(asked[6:-1]) if asked and mirror.ranges and same else None
        if start is not None and start >= len(content):
            self._plain(416, {"Content-Range": f"bytes */{len(content)}"})
            return
        sent = content[start or 0 :]
        headers = {"Content-Length": str(len(sent)), "ETag": tag, "Last-Modified": mirror.dated or None}  # fmt: skip
        if start is not None:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        self.send_response(200 if start is None else 206)
        for name, value in (headers | mirror.headers).items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        cut = mirror.cuts.pop(0) if mirror.cuts else None
        with contextlib.suppress(OSError):
            self.wfile.write(sent if cut is None else sent[:cut])
        self.close_connection = True

    def _plain(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in (headers | {"Content-Length": "0"}).items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""
