"""The stand-in's answers, kept and given again: so that a load is measured, and not the stand-in.

A request that has been answered before in the same phase is answered from memory, byte for byte, its clock included; so
a load that begins as an earlier one did asks the same and gets the same.
"""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType

import httpx

KEPT = re.compile("content-type|date|link|x-oauth-scopes|ratelimit.*")
COPY = re.compile(r"(?<=/organizations/)([a-z]+)-(\d)")
"""An organization that is another one with a number: the same answers, with other ids."""
UUID = re.compile(rb'"[0-9a-f]([0-9a-f]{7}-[0-9a-f]{4}-)')
Key = tuple[str, str, str, bytes]
Told = tuple[int, list[tuple[str, str]], bytes]


class Replay:
    """In front of the server at `upstream`; use as a context manager. `phase`: a name for what is asked now."""

    def __init__(self, upstream: str) -> None:
        self.phase, self.asked, self.pages = "", 0, dict[Key, Told]()
        client = httpx.Client(base_url=upstream, timeout=300)
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                of = COPY.search(self.path)
                path = COPY.sub(r"\1", self.path)
                key = (replay.phase, self.command, path, body)
                replay.asked += 1
                if key not in replay.pages:
                    token = {"Authorization": self.headers["Authorization"], "Content-Type": "application/json"}
                    found = client.request(self.command, path, content=body, headers=token)
                    told = [(name, value) for name, value in found.headers.items() if KEPT.fullmatch(name)]
                    told = [(name, value.replace(upstream, replay.url)) for name, value in told]
                    replay.pages[key] = (
                        found.status_code,
                        told,
                        found.content.replace(upstream.encode(), replay.url.encode()),
                    )
                status, headers, content = replay.pages[key]
                if of:
                    content = UUID.sub(rb'"%s\1' % of[2].encode(), content)
                    headers = [(name, value.replace(f"/{of[1]}/", f"/{of[0]}/")) for name, value in headers]
                self.send_response_only(status)
                for name, value in (*headers, ("Content-Length", str(len(content)))):
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = answer  # noqa: N815 - as the library calls them

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002
                """Nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def builds(self, phase: str) -> list[bytes]:
        """The pages of builds that were answered in a phase, in order."""
        return [told[2] for (of, _, path, _), told in self.pages.items() if of == phase and "/builds?" in path]

    def __enter__(self) -> Replay:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.server.shutdown()
        self.server.server_close()
