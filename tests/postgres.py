"""A PostgreSQL server of the machine's own package (/usr/lib/postgresql), started for tests and stopped after them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name.split(".")[0]))
MISSING = "" if FOLDERS and (FOLDERS[-1] / "initdb").exists() else "PostgreSQL's server is not installed here"
"""Why no server can be started here, if none can."""
QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off", "unix_socket_directories=")


DIES = (shutil.which("setpriv"), "--pdeathsig", "INT")
"""A process that runs under it (where it is) is told to stop when its parent dies, be it by SIGKILL."""


@dataclass
class Server:
    """A server on this machine's loopback, in a folder; user and database are both `postgres`."""

    port: int
    password: str
    folder: Path
    process: subprocess.Popen[bytes] | None = None
    stopping: threading.Lock = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [word for one in (*QUICK, f"port={self.port}") for word in ("-c", one)]
        command = [*(DIES if DIES[0] else ()), FOLDERS[-1] / "postgres", "-D", self.folder / "data", *settings]
        with self.said.open("w") as log:
            self.process = subprocess.Popen(command, **_start(self.folder), stderr=log)
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(self.url).close()
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > until:
                    raise RuntimeError(f"PostgreSQL did not start: {self.said.read_text()}") from None
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it. SIGINT is a fast shutdown, connections are ended; SIGQUIT an immediate one, as if it had crashed."""
        with self.stopping:
            if self.process:
                self.process.send_signal(how)
                self.process.wait(30)
                self.process = None

    @property
    def said(self) -> Path:
        return self.folder / "log"


@contextmanager
def server() -> Iterator[Server]:
    """A new, empty server; it and its folder are gone afterwards. It refuses root, so root starts it as `postgres`."""
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    here = Server(free_port(), secrets.token_hex(8), folder)
    secret = folder / "password"
    secret.write_text(here.password, encoding="utf-8")
    if os.geteuid() == 0:
        for path in (folder, secret):
            shutil.chown(path, "postgres")
    try:
        how = ("--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale")
        make: list[str | Path] = [FOLDERS[-1] / "initdb", f"--pgdata={folder / 'data'}", "--no-sync", *how]
        subprocess.run(make, check=True, **_start(folder))
        try:
            here.start()
            yield here
        finally:
            here.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _start(folder: Path) -> dict[str, Any]:
    return {"user": "postgres" if os.geteuid() == 0 else None, "cwd": folder, "stdout": subprocess.DEVNULL}


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
