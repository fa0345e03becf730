"""A TCP proxy of the tests' own: it counts what a client sends, and at some byte lets something happen."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

RESET = struct.pack("ii", 1, 0)
"""SO_LINGER's: closing sends RST."""


@dataclass
class Proxy:
    """sent: bytes that clients sent so far. at: when so many are sent, `do` is called, once, before they go on."""

    server: int
    listening: socket.socket
    sent: int = 0
    at: int | None = None
    do: Callable[[], None] = lambda: None
    open: list[socket.socket] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def port(self) -> int:
        return int(self.listening.getsockname()[1])

    def reset(self) -> None:
        """Break every connection off, as a firewall does."""
        broken, self.open = self.open, []
        for one in broken:
            with contextlib.suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                one.shutdown(socket.SHUT_RD)  # whoever reads it wakes up, and closes it

    def count(self, part: bytes) -> None:
        with self.lock:
            self.sent += len(part)
            now = self.at is not None and self.sent >= self.at
            if now:
                self.at = None
        if now:
            self.do()  # the others go on: a server that stops waits for whoever is half connected

    def accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self.listening.accept()
                try:
                    server = socket.create_connection(("127.0.0.1", self.server))
                except OSError:
                    client.close()
                    continue
                self.open += [client, server]
                threading.Thread(target=carry, args=(client, server, self.count), daemon=True).start()
                threading.Thread(target=carry, args=(server, client, lambda _: None), daemon=True).start()


def carry(source: socket.socket, into: socket.socket, count: Callable[[bytes], None]) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            count(part)
            into.sendall(part)
    for one in (source, into):
        with contextlib.suppress(OSError):
            one.shutdown(socket.SHUT_RD)
        one.close()


@contextlib.contextmanager
def proxy(server: int) -> Iterator[Proxy]:
    """One before the server on that port of this machine."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        made = Proxy(server, listening)
        threading.Thread(target=made.accept, daemon=True).start()
        try:
            yield made
        finally:
            made.reset()
            with contextlib.suppress(OSError):
                listening.shutdown(socket.SHUT_RDWR)
