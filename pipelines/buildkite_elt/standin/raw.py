"""Answers that do not leave as they should: written to the transport byte by byte (answer.Wire says how)."""

from __future__ import annotations

import asyncio
import socket
import struct
from http import HTTPStatus

from starlette.types import Receive

from .answer import Answer, Wire


async def leave(answer: Answer, wire: Wire, transport: asyncio.Transport, receive: Receive) -> None:
    """Send what `wire` lets through and end the connection; returns when it is gone."""
    gone = asyncio.ensure_future(_gone(receive))
    await _pause(wire.silence, gone)
    if wire.upto >= 0 and not gone.done():
        transport.write(_head(answer, wire))
        for piece in _pieces(answer.body[: int(len(answer.body) * wire.upto)], wire.pieces):
            transport.write(b"%x\r\n%s\r\n" % (len(piece), piece) if wire.chunked else piece)
            await _pause(wire.pause, gone)
        if wire.chunked and wire.end == "done":
            transport.write(b"0\r\n\r\n")
    if wire.end == "stall":
        await _pause(wire.seconds, gone)
    if wire.end == "reset":
        # What was written must have left, else the reset takes it back.
        await _pause(0.02, gone)
        _reset(transport)
    else:
        transport.close()
    await gone


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pause(seconds: float, gone: asyncio.Future[None]) -> None:
    """Wait, but not for a client that left."""
    if seconds > 0:
        await asyncio.wait([gone], timeout=seconds)


def _head(answer: Answer, wire: Wire) -> bytes:
    length = {"Transfer-Encoding": "chunked"} if wire.chunked else {"Content-Length": str(len(answer.body))}
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (answer.headers | length | {"Connection": "close"}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _pieces(body: bytes, count: int) -> list[bytes]:
    """The body in `count` pieces of one size; the last may be shorter, none is empty."""
    size = -(-len(body) // count) or 1
    return [body[start : start + size] for start in range(0, len(body), size)]


def _reset(transport: asyncio.Transport) -> None:
    """RST instead of FIN: a socket that lingers for no time drops the connection."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
