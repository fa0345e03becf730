"""The stand-in as a server: both APIs over real HTTP, with tokens, budgets, faults, and a list of what was asked."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from email.utils import format_datetime
from types import TracebackType
from typing import Any
from urllib.parse import parse_qsl, urlencode

import orjson
import uvicorn
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from . import raw, routes
from .answer import Answer, Ask, Blocks, Refusal, Seen, as_json
from .budget import Budgets, Meter, graphql_headers, graphql_refused, rest_headers, rest_refused
from .tokens import Token
from .trouble import STATUSES, Trouble
from .world import World

WRITES = re.compile(r"\b(?:mutation|subscription)\b[^{]*\{")
"""An operation that is no query, seen before the query is read: one that is refused was attempted all the same."""


@dataclass(frozen=True)
class Counts:
    """Sums over requests: bytes of bodies sent, complexity points spent, 429s, attempted writes."""

    requests: int
    bytes: int
    points: int
    refused: int
    writes: int


class Standin:
    """Serves a world (the demo's unless given) while the `with` block lasts; `port` 0 picks a free one.

    Leaving the block raises the first error that a handler had: a 500 of the stand-in is a bug, not a fault.
    """

    def __init__(
        self, world: World | None = None, *, budgets: Budgets | None = None, host: str = "127.0.0.1", port: int = 0
    ) -> None:
        if world is None:
            from .demo import demo

            world = demo()
        self.world, self.clock = world, world.clock
        self.budgets = budgets or Budgets()
        self.meter = Meter(self.budgets)
        self.trouble = Trouble()
        self.seen: list[Seen] = []
        self.bugs: list[Exception] = []
        self.host, self.port = host, port
        self._thread: threading.Thread | None = None
        self._number = 0

    @property
    def base(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def rest_url(self) -> str:
        return f"{self.base}/v2"

    @property
    def graphql_url(self) -> str:
        return f"{self.base}/v1"

    @property
    def token(self) -> str:
        """The value of the world's first token."""
        return next(iter(self.world.tokens.values())).value

    def count(self, api: str | None = None, since: int = 0) -> Counts:
        """Sums over `seen[since:]`, of one API (rest, graphql) or of both."""
        some = [one for one in self.seen[since:] if api in (None, one.api)]
        return Counts(
            requests=len(some),
            bytes=sum(one.bytes for one in some),
            points=sum(one.actual or 0 for one in some),
            refused=sum(one.status == 429 for one in some),
            writes=sum(one.write for one in some),
        )

    def clear(self) -> None:
        """Forget what was seen and spent."""
        self.seen.clear()
        self.meter.clear()

    def listen(self) -> socket.socket:
        """Open the port; from here on clients can connect, and wait."""
        listener = socket.create_server((self.host, self.port))
        self.port = listener.getsockname()[1]
        return listener

    def __enter__(self) -> Standin:
        self._listener = self.listen()
        self._server = server(self.app)
        self._thread = threading.Thread(target=self._server.run, args=([self._listener],), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._server.should_exit = True
        if self._thread:
            self._thread.join(10)
        self._listener.close()
        if self.bugs and error is None:
            raise self.bugs[0]
        if self.bugs and error is not None:
            error.add_note(f"The stand-in had an error as well: {self.bugs[0]!r}")

    async def app(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application: read a request to its end, answer it under the world's lock, send the answer."""
        request = Request(scope, receive)
        ask = Ask(
            method=request.method,
            path=re.sub(r"(?<=.)/+$", "", request.url.path),
            query=scope["query_string"].decode("latin-1"),
            headers=dict(request.headers),
            body=await request.body(),
            now=self.clock.now(),
            base=self.base,
        )
        answer = self.answer(ask)
        transport = scope["extensions"]["transport"]
        if answer.wire:
            await raw.leave(answer, answer.wire, transport, receive)
        elif ask.method == "HEAD":
            headers = answer.headers | {"Content-Length": str(answer.size)}
            await Response(b"", answer.status, headers)(scope, receive, send)
        elif isinstance(answer.content, Blocks):
            try:
                await raw.stream(answer, transport, send)
            except Exception as error:
                # What makes the blocks is a test's: an error in it, or a wrong size, is told when the stand-in stops.
                self.bugs.append(error)
                transport.abort()
        else:
            await Response(answer.content, answer.status, answer.headers)(scope, receive, send)

    def answer(self, ask: Ask) -> Answer:
        """The answer to one request as it will leave; it is in `seen`, and the watchers were called."""
        with self.world.lock:
            self.world.settle()
            ask.now = self.world.now()
            answer = self._guarded(ask)
            answer, kind = self.trouble.strike(ask, answer, lambda params: self._again(ask, params))
            self._number += 1
            answer.headers |= {
                "Date": format_datetime(ask.now, usegmt=True),
                "X-Request-Id": f"00000000-0000-4000-8000-{self._number:012x}",
                "Cache-Control": "max-age=0, private, must-revalidate",
            }
            seen = _seen(ask, answer, kind)
            self.seen.append(seen)
            for watch in list(self.trouble.watchers):
                self._kept(lambda watch=watch: watch(len(self.seen), seen))  # type: ignore[misc]
        return answer

    def _guarded(self, ask: Ask) -> Answer:
        """The answer of one API; a Refusal is an answer, any other error is kept and answered with a 500."""
        answer: Answer | None = None

        def attempt() -> None:
            nonlocal answer
            answer = self._rest(ask) if ask.api == "rest" else self._graphql(ask)

        self._kept(attempt)
        return answer or as_json({"message": "The stand-in has a bug; it says so when it stops"}, 500)

    def _kept(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:
            self.bugs.append(error)

    def _again(self, ask: Ask, params: dict[str, str]) -> Answer:
        """The same request with other parameters ("" takes one away), uncounted."""
        pairs = [(name, value) for name, value in parse_qsl(ask.query, keep_blank_values=True) if name not in params]
        pairs += [(name, value) for name, value in params.items() if value]
        route, parts = routes.find(ask.path)
        if route is None or ask.api != "rest":
            return as_json([])
        try:
            return routes.answer(self.world, replace(ask, query=urlencode(pairs)), self.meter, route, parts)
        except Refusal as refusal:
            return _refused(refusal)

    def _known(self, ask: Ask) -> Token:
        """The token of a request, by Bearer only; one that is not good any more is as wrong as none (api.md 1.1)."""
        scheme, _, value = ask.headers.get("authorization", "").partition(" ")
        for token in self.world.tokens.values():
            if scheme.lower() == "bearer" and token.value == value.strip() and token.good(ask.now):
                return token
        raise Refusal(401, STATUSES[401] or "")

    def _bucket(self, ask: Ask, token: Token, slug: str | None) -> str:
        """The organization that pays: the one of the path, else the first that the token sees."""
        if slug in self.world.organizations and slug is not None and token.sees(slug):
            return slug
        return next((one for one in self.world.organizations if token.sees(one)), "")

    def _rest(self, ask: Ask) -> Answer:
        route, parts = routes.find(ask.path)
        ask.write = ask.method not in ("GET", "HEAD")
        headers: dict[str, str] = {}
        try:
            if not (route and route.open):
                token = ask.token = self._known(ask)
                ask.organization = self._bucket(ask, token, parts.get("org"))
                org = self.meter.spend("rest", ask.organization, 1, ask.now)
                own = self.meter.spend("rest_user", token.user_id, 1, ask.now)
                headers = rest_headers(org, own) | {"X-OAuth-Scopes": ", ".join(token.scopes)}
                for name, level in (("rest_user", own), ("rest", org)):
                    if self.budgets.enforced and level.current > level.limit:
                        return _with(rest_refused(name, level), headers)
            if ask.write:
                raise Refusal(405, f"{ask.method} is refused: the stand-in only reads")
            if route is None:
                raise Refusal(404, f'No route matches [{ask.method}] "{ask.path}"')
            headers["X-Accepted-OAuth-Scopes"] = route.scope or ""
            ask.scope = route.scope
            return _with(routes.answer(self.world, ask, self.meter, route, parts), headers)
        except Refusal as refusal:
            return _with(_refused(refusal), headers)

    def _graphql(self, ask: Ask) -> Answer:
        """Budgets are looked at before a query runs and pay what it really cost after it (api.md 2.2)."""
        payload = _payload(ask.body)
        ask.document = payload.get("query") if isinstance(payload.get("query"), str) else None
        ask.write = ask.method != "POST" or WRITES.search(ask.document or "") is not None
        try:
            token = ask.token = self._known(ask)
            ask.organization = self._bucket(ask, token, None)
            if ask.method != "POST":
                raise Refusal(405, f"{ask.method} is refused: GraphQL is asked by POST")
            if "graphql" not in token.scopes:
                raise Refusal(403, "Your access token doesn't have the `graphql` scope")
            if ask.document is None:
                raise Refusal(400, "The body must be JSON with a query")
        except Refusal as refusal:
            answer = as_json({"errors": [{"message": refusal.message}]}, refusal.status)
            return _with(answer, self._points(ask, 0)[0]) if ask.token else answer
        headers, spent = self._points(ask, 0)
        if self.budgets.enforced and spent:
            return _with(graphql_refused(*spent), headers)
        return self._executed(ask)

    def _executed(self, ask: Ask) -> Answer:
        from . import graphql

        result = graphql.execute(self.world, ask, self.budgets)
        ask.write = ask.write or result.write
        headers, _ = self._points(ask, result.actual or 0)
        stats = {"requestedComplexity": result.requested, "actualComplexity": result.actual}
        if result.requested is not None:
            headers["RateLimit-Complexity-Requested"] = str(result.requested)
        if result.actual is not None:
            headers["RateLimit-Complexity-Actual"] = str(result.actual)
        body = result.body
        if ask.headers.get("buildkite-include-query-stats") == "true":
            body = body | {"stats": stats}
        answer = _with(as_json(body, result.status), headers)
        answer.notes = {"requested": result.requested, "actual": result.actual}
        return answer

    def _points(self, ask: Ask, points: int) -> tuple[dict[str, str], tuple[str, Any] | None]:
        """Spend points; the headers after it, and the bucket that has nothing left, if one has not."""
        user = ask.token.user_id if ask.token else ""
        org = self.meter.spend("graphql", ask.organization or "", points, ask.now)
        own = self.meter.spend("graphql_user", user, points, ask.now)
        spent = next((pair for pair in (("graphql_user", own), ("graphql", org)) if pair[1].remaining == 0), None)
        return graphql_headers(org, own), spent


def _with(answer: Answer, headers: dict[str, str]) -> Answer:
    answer.headers = headers | answer.headers
    return answer


def _refused(refusal: Refusal) -> Answer:
    return as_json({"message": refusal.message}, refusal.status, **refusal.headers)


def _payload(body: bytes) -> dict[str, Any]:
    with contextlib.suppress(orjson.JSONDecodeError):
        payload = orjson.loads(body)
        if isinstance(payload, dict):
            return payload
    return {}


def _seen(ask: Ask, answer: Answer, kind: str | None) -> Seen:
    size = 0 if ask.method == "HEAD" else answer.size
    return Seen(
        method=ask.method,
        path=ask.path,
        query=ask.query,
        status=answer.status,
        bytes=int(size * max(answer.wire.upto, 0)) if answer.wire else size,
        api=ask.api,
        user=ask.token.user_id if ask.token else None,
        requested=answer.notes.get("requested"),
        actual=answer.notes.get("actual"),
        trouble=kind,
        at=ask.now,
        document=ask.document,
        write=ask.write,
    )


class Protocol(H11Protocol):
    """HTTP/1.1 that hands its transport to the application, for answers that break off (raw.py)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        # Head and body leave one by one: with Nagle's algorithm each answer would take 40 ms.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        inner = self.app

        async def app(scope: Scope, receive: Receive, send: Send) -> None:
            scope["extensions"] = {"transport": transport}
            await inner(scope, receive, send)

        self.app = app


class Server(uvicorn.Server):
    """Looks for its end every 10 ms and drops whoever is still connected then."""

    async def main_loop(self) -> None:
        while not self.should_exit:
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in self.servers:
            listener.close()
        for task in list(self.server_state.tasks):
            task.cancel()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        while self.server_state.connections or self.server_state.tasks:
            await asyncio.sleep(0)


def server(app: Callable[[Scope, Receive, Send], Any]) -> Server:
    config = uvicorn.Config(
        app,
        http=Protocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        loop="asyncio",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        log_level="critical",
    )
    return Server(config)


def serve(world: World, host: str = "127.0.0.1", port: int = 8765, budgets: Budgets | None = None) -> None:
    """Serve until interrupted, for the command line."""
    standin = Standin(world, budgets=budgets, host=host, port=port)
    with standin.listen() as listener, contextlib.suppress(KeyboardInterrupt):
        server(standin.app).run([listener])
    if standin.bugs:
        raise standin.bugs[0]
