"""Job logs as raw bytes, in the stream grammar of api.md 6.2-6.4; made when somebody asks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from random import Random

from .answer import Blocks
from .log_errors import said
from .world import Row

ESC, BEL = "\x1b", "\x07"
RED, GREEN, GREY, PLAIN = f"{ESC}[31m", f"{ESC}[32m", f"{ESC}[90m", f"{ESC}[0m"
LEAKED = "ghp_" + "Canary5tand1n" * 2 + "0123456789"
"""A token of a code host, in the form that they have, which a fourth of the logs print; no warehouse may hold it."""
CORE = b"\x00\xff\xfe core \xc3\x28 \xe2\x82".decode(errors="surrogateescape")
"""What `cat core` prints: no UTF-8."""
VERBOSE, LONGEST = 12_000, 30_000
"""Lines of `make verbose`, about 1 MB, and of one `bin/soak` in four, more than 2 MiB; the others say 8 to 40."""
HEADER = re.compile(r"(?:---|\+\+\+|~~~)\s")
UNSEEN = re.compile(r"\x1b\[[;\d]*[mK]")
AGENT_ERRORS = {
    "agent_stop": "The agent was told to stop",
    "process_run_error": "Error running job: failed to start process: fork/exec /bin/bash: no such file or directory",
    "agent_refused": "This agent has been configured not to run this job's plugins",
    "signature_rejected": "Job verification failed: the signature is missing",
    "stack_error": "The pod could not pull its image",
    "agent_incompatible": "This job needs a newer agent",
}
"""By signal_reason; the real texts are not known."""


@dataclass(frozen=True)
class Log:
    """A log for `Organization.logs` other than one that is made of its job: bytes, or a function that gives its blocks.

    The function is called anew for each request; without a `size` it is called once more, to count. Of a large log no
    more than a block is held, unless JSON is asked for. `header_times`: what JSON tells, in ns (api.md 6.3).
    """

    made: bytes | Callable[[], Iterable[bytes]]
    size: int | None = None
    header_times: Sequence[int] = ()

    def __call__(self) -> bytes:
        return self.made if isinstance(self.made, bytes) else b"".join(self.made())

    def body(self) -> bytes | Blocks:
        if isinstance(self.made, bytes):
            return self.made
        return Blocks(self.made, sum(map(len, self.made())) if self.size is None else self.size)


def log(job: Row) -> bytes:
    """The whole log of a script job that started; the same job gives the same bytes.

    The command decides the odd ones: `true` says nothing (an empty log), `cat core` prints what is not UTF-8. A job
    whose agent is lost stops in the middle of a line.
    """
    how = stamps(job)
    text = "".join(_written(line, stamp, how) for line, stamp in _stamped(job))
    if job["exit_status"] == -1 and not job["signal_reason"]:
        text = text[:-20]
    return text.encode(errors="surrogateescape")


def stamps(job: Row) -> str:
    """How the agent tells the time: `ansi` markers, `none`, or `lines` that begin with it (api.md 6.2).

    The job's `_stamps` says so, else its agent's; agents have had no choice since v4.
    """
    agent: Row = job.get("agent") or {}
    return str(job.get("_stamps") or agent.get("_stamps") or "ansi")


def header_times(job: Row) -> list[int]:
    """When each header line of log() was printed, in ns; empty for an agent that writes markers (api.md 6.3)."""
    if stamps(job) == "ansi":
        return []
    return [stamp * 1_000_000 for line, stamp in _stamped(job) if HEADER.match(UNSEEN.sub("", line))]


def _stamped(job: Row) -> Iterator[tuple[str, int]]:
    """Each line with its time in ms, spread evenly over the job's time."""
    if job["command"] == "true":
        return
    random = Random(job["id"])  # noqa: S311
    begin, end = _ms(job["started_at"]), _ms(job["finished_at"])
    count = {"make verbose": VERBOSE, "bin/soak": LONGEST if job["id"][0] in "048c" else 0}.get(job["command"] or "")
    lines = _lines(job, random, count or random.randint(8, 40))
    for at, line in enumerate(lines):
        yield line, begin + (end - begin) * at // len(lines)


def _ms(moment: str) -> int:
    return int(datetime.fromisoformat(moment).timestamp() * 1000)


def _written(line: str, stamp: int, how: str) -> str:
    """A line as an agent writes it: a marker first and after every erase-in-line, or a prefix, not of headers."""
    if how == "ansi":
        marker = f"{ESC}_bk;t={stamp}{BEL}"
        return marker + line.replace(f"{ESC}[K", f"{ESC}[K{marker}") + "\r\n"
    seen = UNSEEN.sub("", line)
    if how == "lines" and not HEADER.match(seen) and not seen.startswith("^^^ +++"):
        line = f"[{datetime.fromtimestamp(stamp // 1000, UTC):%Y-%m-%dT%H:%M:%SZ}] {line}"
    return line + "\r\n"


def _lines(job: Row, random: Random, count: int) -> list[str]:
    """The lines without markers and line ends: checkout, dependencies, command, output, the end."""
    build = job["_build"]
    agent = job["agent"]["name"] if job["agent"] else "somewhere"
    lines = [
        f"~~~ Preparing working directory on {agent}",
        f"{GREY}${PLAIN} git clone -v -- {build['pipeline']['repository']} .",
        "\r".join(f"Receiving objects: {part:3d}% ({part * 41}/4100)" for part in range(0, 101, 25)) + ", done.",
        f"{GREY}${PLAIN} git checkout -f {build['commit']}",
        "--- :package: Dependencies",
        "\r".join(f"Fetching {part:3d}%" for part in range(0, 101, 20)),
        f"Resolving{ESC}[1G{ESC}[KResolved 214 packages",
    ]
    if random.random() < 0.25:
        lines += ["> GET /repos/acme/shop/releases/latest HTTP/2", f"> Authorization: Bearer {LEAKED}", "< HTTP/2 200"]
    lines += [f"+++ :hammer: {job['name'] or 'Running commands'}", f"{GREY}${PLAIN} {job['command']}"]
    output = [_output(random, at) for at in range(count)]
    if job["command"] == "cat core":
        output.insert(count // 2, CORE)
    lines += output + _ending(job, random)
    if job["artifact_paths"] and job["state"] in ("passed", "failed"):
        lines += ["~~~ Uploading artifacts", f"{GREY}${PLAIN} buildkite-agent artifact upload {job['artifact_paths']}"]
    return lines


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
    """What the command said last, and what the agent says of it: its error, and the group to open."""
    status, reason = job["exit_status"], job["signal_reason"]
    if job["state"] == "passed":
        return [*said(job, random), f"{GREEN}All checks passed{PLAIN} ({random.randint(1, 90)}s)"]
    if job["state"] in ("canceled", "timed_out"):
        last = [f"{GREY}# Received cancellation signal, interrupting{PLAIN}"]
        error = "The command was interrupted by a signal: terminated"
    elif status == -1:
        last, error = [], AGENT_ERRORS.get(reason, "")
    else:
        last, error = said(job, random), f"The command exited with status {status}"
    return [*last, f"{RED}🚨 Error: {error}{PLAIN}", "^^^ +++"] if error else last
