"""Job logs for the bench, from a seed: shaped as real ones are, line by line what agents and tools write.

Of 100 lines 60 are a marker and plain text, 27 are coloured, 13 are written over or have more markers; a line has 134
bytes and 7.2 control bytes. zstd leaves 13.2 % of them (13.5 % of the samples' Bazel log), as names, numbers and hashes
vary. `python -m bench.log_corpus` tells these figures.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pyarrow as pa

STAMP = 1_781_335_322_046
FOLDERS, NAMES, SENTENCES = 30, 60, 25
"""Of one project."""
SMALLEST, LARGEST = 5_000, 500_000
WORDS = (
    "alpha", "cache", "config", "worker", "session", "handler", "registry", "loader", "parser", "builder",
    "scheduler", "queue", "client", "server", "storage", "index", "merge", "filter", "token", "buffer", "stream",
    "socket", "request", "response", "header", "cookie", "router", "model", "schema", "query", "table", "column",
    "cursor", "planner", "optimizer", "executor", "metrics", "tracer", "sampler", "runtime", "toolchain", "package",
    "bundle", "artifact", "digest", "manifest", "layer", "image", "volume", "cluster", "node", "shard", "replica",
    "snapshot", "backup", "restore", "export", "import", "render", "layout", "widget",
)  # fmt: skip
GREY, RED, GREEN, YELLOW, BOLD, OFF = (f"\x1b[{code}m" for code in ("90", "31", "32", "33", "1", "0"))


class Project:
    """What the logs of one repository have in common: its names, folders and log statements, and its kind of lines."""

    def __init__(self, random: Random, kind: dict[Line, float]) -> None:
        pick, self.kind = random.choice, kind
        self.folders = ["/".join(random.choices(WORDS, k=random.randrange(3, 7))) for _ in range(FOLDERS)]
        self.names = [f"{pick(WORDS)}_{pick(WORDS)}" for _ in range(NAMES)]
        self.sentences = [
            f"[{pick(WORDS)}.py:{random.randrange(900)}] " + " ".join(random.choices(WORDS, k=random.randrange(14)))
            for _ in range(SENTENCES)
        ]


class Log:
    """A log that is being written: where its lines get their names, numbers and moments."""

    def __init__(self, random: Random, project: Project) -> None:
        self.random, self.now = random, STAMP + random.randrange(10**9)
        self.pick, self.below = random.choice, random.randrange
        self.names, self.folders, self.sentences = project.names, project.folders, project.sentences
        self.folder = self.folders[0]

    def stamp(self) -> str:
        if self.random.random() < 0.16:  # in the samples 83 and 88 of 100 markers are those before
            self.now += int(10 ** (4 * self.random.random()))
        return f"\x1b_bk;t={self.now}\x07"

    def path(self) -> str:
        if self.random.random() < 0.15:
            self.folder = self.pick(self.folders)
        return self.folder

    def hash(self, digits: int = 12) -> str:
        return f"{self.random.getrandbits(4 * digits):0{digits}x}"

    def name(self) -> str:
        return self.pick(self.names)


def header(log: Log) -> str:
    return f"{log.stamp()}~~~ Running {log.name()} hook\r\n{log.stamp()}{GREY}${OFF} cd /builds/{log.path()}\r\n"


def pytest(log: Log) -> str:
    folder = log.path()
    file = f"tests/{folder}/test_{folder.rpartition('/')[2]}.py::Test{log.names[len(folder)].title()}"
    return (
        f"{log.stamp()}{file}::test_{log.name()}[{log.pick(WORDS)}-{log.below(9)}] PASSED [ {log.below(100):2}%]\r\r\n"
    )


def told(log: Log) -> str:
    at = f"{log.now // 3_600_000 % 24:02}:{log.now // 60_000 % 60:02}:{log.now // 1000 % 60:02}.{log.below(1000):03}"
    return f"{log.stamp()}INFO 11-25 {at} {log.pick(log.sentences)}: {log.below(1000) / 10} ms\r\n"


def variable(log: Log) -> str:
    return f"{log.stamp()}BUILDKITE_{log.name().upper()}=(/var/lib/{log.path()}-{log.hash(10)})\r\r\n"


def compiled(log: Log) -> str:
    name = log.name()
    return (
        f"{log.stamp()}cl.exe /c /nologo /O2 /I src\\{log.pick(WORDS)} /Fo{name}.obj src\\{log.path()}\\{name}.cpp\r\n"
    )


def coloured(log: Log) -> str:
    rule = f"//{log.path()}:{log.name()}"
    return (
        f"{log.stamp()}{GREEN}{BOLD}{rule}{OFF} {YELLOW}PASSED{OFF} in {BOLD}{log.below(900) / 10}s{OFF}"
        f" ({log.name()}-{log.pick(WORDS)}, {log.below(50)} of 50)\r\n"
    )


def packages(log: Log) -> str:
    version = f"{log.below(20)}.{log.below(30)}.{log.below(9)}"
    return (
        f"{log.stamp()}{BOLD}{GREEN}added{OFF} {BOLD}{log.name()}{OFF}@{YELLOW}{version}{OFF}"
        f" {GREY}from https://example.com/{log.path()}-{log.hash(8)}.tgz{OFF}\r\n"
    )


def comment(log: Log) -> str:
    return f"{log.stamp()}{GREY}# {log.name().upper()} added to {log.path()}{OFF}\r\n"


def progress(log: Log) -> str:
    """What Bazel shows while it builds: each state rubs out the one before, and the agent writes a marker after it."""
    rub, done, action = f"\r\x1b[1A\x1b[K{log.stamp()}", log.below(9000), f"Compiling {log.path()}.cc"
    return f"{log.stamp()}{rub}{GREEN}[{done:,} / 9,000]{OFF} {action}; {log.below(90)}s {log.pick(WORDS)}-sandbox\r\n"


def counting(log: Log) -> str:
    states = (f"remote: Counting objects: {part:3}% ({part}/100)\x1b[K{log.stamp()}\r" for part in (11, 58, 99))
    return f"{log.stamp()}{''.join(states)}remote: Counting objects: 100% (100/100), done.\x1b[K{log.stamp()}\r\r\n"


def accent(log: Log) -> str:
    return f"{log.stamp()}  ✓ {log.name()} → {log.path()} ({log.below(900)} ms)\r\n"


Line = Callable[[Log], str]
KINDS: tuple[dict[Line, float], ...] = (
    {header: 1, pytest: 45, told: 35, variable: 3, coloured: 8, comment: 2, progress: 4, accent: 2},
    {header: 1, variable: 12, told: 14, compiled: 4, coloured: 33, comment: 4, progress: 29, counting: 1, accent: 2},
    {header: 1, compiled: 80, told: 15, comment: 2, accent: 2},
    {header: 1, packages: 70, told: 10, variable: 5, counting: 4, progress: 4, accent: 6},
    {header: 4, told: 40, variable: 20, counting: 4, progress: 20, packages: 8, comment: 4},
)
"""Lines of each kind of log: pytest, Bazel, a compiler, npm, images."""
PROJECTS = (10, 8, 2, 3, 2)
"""So many are of each kind."""


def lines(random: Random, project: Project) -> Iterator[bytes]:
    """A log's lines, one after the other without end."""
    log, kinds, shares = Log(random, project), list(project.kind), list(project.kind.values())
    while True:
        for line in random.choices(kinds, shares, k=64):
            yield line(log).encode()


def logs(count: int, seed: int = 1) -> Iterator[bytes]:
    """So many logs of SMALLEST to LARGEST bytes, the small ones more often."""
    random = Random(seed)  # noqa: S311 - no secret
    projects = [Project(random, kind) for kind, count in zip(KINDS, PROJECTS, strict=True) for _ in range(count)]
    for _ in range(count):
        size, log = SMALLEST * (LARGEST / SMALLEST) ** random.random(), bytearray()
        for line in lines(random, random.choice(projects)):
            log += line
            if len(log) >= size:
                break
        yield bytes(log)


def one(size: int, seed: int = 1) -> bytes:
    """A single log of that many bytes: one after the other, as if they were one."""
    log = bytearray()
    for more in logs(size // SMALLEST + 1, seed):
        log += more
        if len(log) >= size:
            break
    return bytes(log[:size])


def shape(log: bytes) -> dict[str, float]:
    """Bytes and control bytes of a line, and the share of its size that zstd leaves (level 3, frames of 4 MiB)."""
    count = log.count(b"\n")
    frames = (log[at : at + (4 << 20)] for at in range(0, len(log), 4 << 20))
    packed = sum(len(pa.Codec("zstd", 3).compress(frame, asbytes=True)) for frame in frames)
    controls = len(log) - len(log.translate(None, bytes(range(32))))
    return {"bytes": len(log) / count, "controls": controls / count, "zstd": packed / len(log)}


if __name__ == "__main__":
    for log in (one(16 << 20), *(Path(word).read_bytes() for word in sys.argv[1:])):
        sys.stdout.write(" ".join(f"{name} {value:.3f}" for name, value in shape(log).items()) + "\n")
