"""Job logs as raw bytes, in the stream grammar of api.md 6.2-6.4; made when somebody asks."""

from __future__ import annotations

from datetime import datetime
from random import Random

from .world import Row

ESC, BEL = "\x1b", "\x07"
RED, GREEN, GREY, PLAIN = f"{ESC}[31m", f"{ESC}[32m", f"{ESC}[90m", f"{ESC}[0m"
ERRORS = {
    137: "Killed: the process ran out of memory",
    255: "Received cancellation signal, interrupting",
    -1: "The agent was told to stop",
    2: "FAIL tests/test_checkout.py::test_total - AssertionError: expected 42, got 41",
}
"""What the last lines say, by exit status."""


def log(job: Row) -> bytes:
    """The whole log of a script job that started; the same job gives the same bytes.

    The command decides the odd ones: `true` says nothing (an empty log), `cat core` prints what is not UTF-8,
    `make verbose` about 1 MB.
    """
    command = job["command"] or ""
    if command == "true":
        return b""
    random = Random(job["id"])  # noqa: S311
    begin, end = _ms(job["started_at"]), _ms(job["finished_at"])
    lines = list(_lines(job, random, 12_000 if command == "make verbose" else random.randint(8, 40)))
    out = bytearray()
    for at, line in enumerate(lines):
        stamp = begin + (end - begin) * at // max(len(lines), 1)
        out += _written(line, stamp).encode()
        if command == "cat core" and at == len(lines) // 2:
            out += b"\x1b_bk;t=%d\x07\x00\xff\xfe core \xc3\x28 \xe2\x82\r\n" % stamp
    return bytes(out)


def _ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _written(line: str, stamp: int) -> str:
    """A line as an agent writes it: a marker first, and another after every erase-in-line (api.md 6.2)."""
    marker = f"{ESC}_bk;t={stamp}{BEL}"
    return marker + line.replace(f"{ESC}[K", f"{ESC}[K{marker}") + "\r\n"


def _lines(job: Row, random: Random, count: int) -> list[str]:
    """The lines without markers and line ends: checkout, command, output, the end."""
    build = job["_build"]
    agent = job["agent"]["name"] if job["agent"] else "somewhere"
    lines = [
        f"~~~ Preparing working directory on {agent}",
        f"{GREY}${PLAIN} git clone -v -- {build['pipeline']['repository']} .",
        f"{GREY}${PLAIN} git checkout -f {build['commit']}",
        "--- :package: Dependencies",
        "\r".join(f"Fetching {part:3d}%" for part in range(0, 101, 20)),
        f"Resolving{ESC}[1G{ESC}[KResolved 214 packages",
        f"+++ :hammer: {job['name'] or 'Running commands'}",
        f"{GREY}${PLAIN} {job['command']}",
    ]
    lines += [_output(random, at) for at in range(count)]
    return lines + _ending(job, random)


def _output(random: Random, at: int) -> str:
    kind = random.randrange(12)
    if kind == 0:
        return f"{ESC}[33mwarning:{PLAIN} unused variable `x{at}` in src/module_{at % 37}.rs"
    if kind == 1:
        return f"{ESC}]8;;https://example.com/runs/{at}{BEL}run {at}{ESC}]8;;{BEL} uploaded"
    if kind == 2:
        return f"{ESC}[38;5;48m✓{PLAIN} spec {at} ({random.randint(1, 900)} ms) 🎉"
    return f"test {at:05d} ... {GREEN}ok{PLAIN} in {random.random() * 9:.3f}s and {random.getrandbits(96):024x}"


def _ending(job: Row, random: Random) -> list[str]:
    status = job["exit_status"]
    if job["state"] == "passed":
        return [f"{GREEN}All checks passed{PLAIN} ({random.randint(1, 90)}s)"]
    error = ERRORS.get(status, f"Error: command exited with status {status}")
    return [f"{RED}🚨 {error}{PLAIN}", "^^^ +++", f"{RED}🚨 Error: The command exited with status {status}{PLAIN}"]
