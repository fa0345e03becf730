"""What a build is to do: steps, and how each will turn out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple


class End(NamedTuple):
    """How a script job ends."""

    state: str
    exit_status: int | None = None
    signal: str | None = None
    signal_reason: str | None = None


ENDS = {
    "passed": End("passed", 0),
    "failed": End("failed", 1),
    "tests_failed": End("failed", 2),
    "out_of_memory": End("failed", 137, "SIGKILL"),
    "timed_out": End("timed_out", 255, "SIGTERM", "cancel"),
    "lost": End("failed", -1),
    **{
        reason: End("failed", -1, "SIGTERM" if reason == "agent_stop" else None, reason)
        for reason in (
            "agent_stop",
            "process_run_error",
            "agent_refused",
            "signature_rejected",
            "stack_error",
            "agent_incompatible",
        )
    },
    "canceled": End("canceled", 255, "SIGTERM", "cancel"),
}
"""The outcomes of a job that starts; `broken`, `skipped`, `stuck` never start, `hang` never ends by itself."""


@dataclass(frozen=True)
class Step:
    """One step. `takes` and `wait` are seconds: of running, and of being kept from an agent once runnable.

    `outcome` is one word of ENDS, or broken, skipped, stuck, hang; several, with commas, are those of the attempts in
    turn ("failed,passed" is a flake), the last one staying. `parallelism` 3 makes three jobs, `matrix` one job for
    each of its maps. `queue` is a queue's key; None asks by no rule.
    """

    type: str = "script"
    name: str | None = None
    key: str | None = None
    group: str | None = None
    command: str | None = None
    queue: str | None = "default"
    outcome: str = "passed"
    soft_fail: bool = False
    retry: int = 0
    parallelism: int = 0
    matrix: Sequence[Mapping[str, str]] = ()
    concurrency: tuple[str, int] | None = None
    takes: float = 60.0
    wait: float = 0.0
    priority: int = 0
    artifacts: Sequence[str] = ()
    annotation: tuple[str, str] | None = None
    env: Mapping[str, str] = field(default_factory=dict)
    signed: bool = False
    promise: int | None = None
    broken_reason: str | None = None
    blocked_state: str = "passed"
    pipeline: str | None = None
    later: bool = False

    def ends(self, attempt: int) -> str:
        """The outcome of an attempt, counted from 0."""
        words = self.outcome.split(",")
        return words[min(attempt, len(words) - 1)]

    def copies(self) -> Iterator[tuple[int | None, int | None, dict[str, str] | None]]:
        """What its jobs differ in: parallel index and total, and matrix values."""
        for one in self.matrix or (None,):
            for index in range(self.parallelism) if self.parallelism else (None,):
                yield index, self.parallelism or None, dict(one) if one else None


Plan = Sequence[Step | Mapping[str, Any]]


def steps(plan: Plan) -> tuple[Step, ...]:
    """A plan with its dicts made Steps."""
    return tuple(one if isinstance(one, Step) else Step(**one) for one in plan)


def plain(jobs: int, state: str, takes: float, queue: str | None) -> tuple[Step, ...]:
    """`jobs` script steps side by side, the longest of which takes `takes` seconds, so that the build ends in `state`.
    With state failed the first one fails, until it is retried.

    With state running it never ends by itself, with scheduled it is never picked up, with blocked a block step ends it.
    """
    outcome = {"running": "hang", "scheduled": "stuck"}.get(state, "passed")
    made = [
        Step(
            name=f":hammer: Step {at + 1}",
            key=f"step-{at + 1}",
            command=f"make step-{at + 1}",
            queue=queue,
            outcome="failed,passed" if state == "failed" and at == 0 else outcome,
            takes=takes * (at + 1) / jobs,
        )
        for at in range(jobs)
    ]
    if state == "blocked":
        made.append(Step(type="manual", name="Release?", key="release"))
    return tuple(made)
