"""Answers that do not leave as they should, written to the transport byte by byte (answer.Wire), and large bodies."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Iterable, Iterator
from http import HTTPStatus

from starlette.types import Receive, Send

from .answer import Answer, Wire

AHEAD = 1 << 20
"""How many bytes may wait for a client that reads slowly."""


async def stream(answer: Answer, transport: asyncio.Transport, send: Send) -> None:
    """Send a body block by block, each when the one before has left; the rest of it is not made for who has gone."""
    headers = answer.headers | {"Content-Length": str(answer.size)}
    raw = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": answer.status, "headers": raw})
    for block in answer.blocks:
        if transport.is_closing():
            return
        await send({"type": "http.response.body", "body": block, "more_body": True})
        # A client that reads fast never makes `send` wait, and nobody else would be served.
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def leave(answer: Answer, wire: Wire, transport: asyncio.Transport, receive: Receive) -> None:
    """Send what `wire` lets through and end the connection; returns when it is gone."""
    gone = asyncio.ensure_future(_gone(receive))
    await _pause(wire.silence, gone)
    if wire.upto >= 0 and not gone.done():
        transport.write(_head(answer, wire))
        for piece in _pieces(answer.blocks, int(answer.size * wire.upto), wire.pieces):
            transport.write(b"%x\r\n%s\r\n" % (len(piece), piece) if wire.chunked else piece)
            await _pause(wire.pause, gone)
            while transport.get_write_buffer_size() > AHEAD and not gone.done():
                await _pause(0.001, gone)
            if gone.done():
                break
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
    length = {"Transfer-Encoding": "chunked"} if wire.chunked else {"Content-Length": str(answer.size)}
    lines = [f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in (answer.headers | length | {"Connection": "close"}).items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _pieces(blocks: Iterable[bytes], length: int, count: int) -> Iterator[bytes]:
    """`length` bytes in `count` pieces of one size (more where blocks end); the last may be shorter, none is empty."""
    size = -(-length // count) or 1
    for block in blocks:
        part = block[:length]
        length -= len(part)
        yield from (part[start : start + size] for start in range(0, len(part), size))
        if not length:
            return


def _reset(transport: asyncio.Transport) -> None:
    """RST instead of FIN: a socket that lingers for no time drops the connection."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
