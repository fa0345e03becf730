"""A PostgreSQL server of the machine's own package (/usr/lib/postgresql), started for tests and stopped after them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg

FOLDERS = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda folder: int(folder.parent.name.split(".")[0]))
MISSING = "" if FOLDERS and (FOLDERS[-1] / "initdb").exists() else "PostgreSQL's server is not installed here"
"""Why no server can be started here, if none can."""
QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off", "autovacuum=off", "unix_socket_directories=")


@dataclass(frozen=True)
class Server:
    """A server on this machine's loopback; user and database are both `postgres`."""

    port: int
    password: str

    @property
    def url(self) -> str:
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/postgres"


@contextmanager
def server() -> Iterator[Server]:
    """A new, empty server; it and its folder are gone afterwards. It refuses root, so root starts it as `postgres`."""
    user = "postgres" if os.geteuid() == 0 else None
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    here = Server(free_port(), secrets.token_hex(8))
    secret, said = folder / "password", folder / "log"
    secret.write_text(here.password, encoding="utf-8")
    if user:
        for path in (folder, secret):
            shutil.chown(path, user)
    try:
        data, made = str(folder / "data"), FOLDERS[-1]
        how = ("--username=postgres", "--auth=scram-sha-256", f"--pwfile={secret}", "--encoding=UTF8", "--no-locale")
        start = {"user": user, "cwd": folder, "stdout": subprocess.DEVNULL}
        subprocess.run([made / "initdb", f"--pgdata={data}", "--no-sync", *how], check=True, **start)  # type: ignore[call-overload]
        settings = [word for one in (*QUICK, f"port={here.port}") for word in ("-c", one)]
        with said.open("w") as log:
            process = subprocess.Popen([made / "postgres", "-D", data, *settings], **start, stderr=log)  # type: ignore[call-overload]
        try:
            _await(here, process, said)
            yield here
        finally:
            process.send_signal(signal.SIGINT)  # a fast shutdown: connections are ended
            process.wait(30)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _await(here: Server, process: subprocess.Popen[bytes], said: Path) -> None:
    """Until it answers."""
    until = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(here.url).close()
        except psycopg.OperationalError:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"PostgreSQL did not start: {said.read_text()}") from None
            time.sleep(0.05)
        else:
            return


def free_port() -> int:
    with closing(socket.socket()) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
