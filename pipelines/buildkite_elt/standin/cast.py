"""Who and what the demo is about: people, agents, emoji, and the plans of its pipelines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from random import Random

from .plan import Step

PEOPLE = ("Grace Green", "Linus Lake", "Barbara Bright", "Edsger Elm", "Radia Reed", "Ken Knoll", "Margaret Moon")
TEAMS = ("Platform", "Storefront", "Mobile", "Data")
EMOJIS = (("rocket", None), ("shipit", ["squirrel"]), ("hammer", None), ("boom", ["collision"]), ("acme", None))
SECRET = "s3cr3t-canary-8f14e45f"  # noqa: S105
"""A value that stands in env values; it must never reach a warehouse."""
MESSAGES = (
    "Fix the checkout total :moneybag:",
    "Bump dependencies 📦",
    "Speed up the search index",
    "Add a feature flag for gift cards :gift:",
    "Revert “Cache everything”",
    "Tidy up\n\nNo change of behaviour.",
    "修正: 日本語の住所",
)


@dataclass(frozen=True)
class Moment:
    """What a plan depends on: chance, whether main is red, whether the slow half has begun, the branch."""

    random: Random
    branch: str
    red: bool
    slow: bool

    def around(self, seconds: float) -> float:
        return seconds * self.random.uniform(0.8, 1.3)

    def odds(self, share: float, outcome: str, otherwise: str = "passed") -> str:
        return outcome if self.random.random() < share else otherwise


Planner = Callable[[Moment], list[Step]]


def web(m: Moment) -> list[Step]:
    """The storefront: groups, shards, a flaky step, a gate and a deployment."""
    flaky, test = m.odds(0.25, "tests_failed,passed"), "failed" if m.red else m.odds(0.1, "failed")
    steps = [
        Step(name=":eslint: Lint", key="lint", group="checks", command="bin/lint", takes=m.around(45)),
        Step(name=":lock: Audit", key="audit", group="checks", command="bin/audit", takes=m.around(30),
             outcome=m.odds(0.3, "failed"), soft_fail=True),
        Step(name=":rspec: Unit", key="unit", command="bin/rspec", parallelism=3, takes=m.around(150),
             outcome=test, artifacts=("reports/junit.xml",)),
        Step(name=":chrome: Browser", key="browser", command="bin/browser", parallelism=3,
             concurrency=("browsers", 2), takes=m.around(200), outcome=flaky,
             retry=2, annotation=("browser", "<p>Browser tests</p>")),
        Step(type="waiter", key="gate"),
        Step(name=":docker: Image", key="image", command="bin/image", takes=m.around(120), signed=True,
             artifacts=("dist/image.tar.gz", "dist/sbom.html"), env={"DOCKER_PASSWORD": SECRET}),
    ]  # fmt: skip
    if m.branch == "main":
        steps.append(Step(type="manual", name=":rocket: Release?", key="release"))
        steps.append(Step(type="trigger", name="Deploy", key="deploy", pipeline="deploy-web"))
    return steps


def deploy(m: Moment) -> list[Step]:
    """One at a time, and then a smoke test that nobody waits for."""
    return [
        Step(name=":kubernetes: Deploy", key="deploy", command="bin/deploy", queue="deploy", takes=m.around(500),
             concurrency=("deploy/production", 1), outcome=m.odds(0.06, "failed"), priority=10),
        Step(type="waiter"),
        Step(type="trigger", name="Smoke", key="smoke", pipeline="smoke", later=True),
    ]  # fmt: skip


def smoke(m: Moment) -> list[Step]:
    return [Step(name="Smoke", key="smoke", command="true", takes=m.around(60), outcome=m.odds(0.04, "failed"))]


def engine(m: Moment) -> list[Step]:
    """A matrix, and a compiler that got slower."""
    grid = [{"os": name, "arch": arch} for name in ("linux", "windows") for arch in ("amd64", "arm64")]
    return [
        Step(name="Compile", key="compile", command="make", matrix=grid,
             takes=m.around(260 if m.slow else 160)),
        Step(name="Sanitizers", key="sanitize", command="bin/sanitize", takes=m.around(200),
             outcome=m.odds(0.07, "out_of_memory"), retry=1, promise=137 if m.random.random() < 0.1 else None),
        Step(name="Windows only", key="windows", command="bin/win", outcome=m.odds(0.5, "broken"),
             broken_reason="if_condition_false", takes=20),
        Step(type="waiter"),
        Step(name="Package", key="package", command="make package", takes=m.around(50), artifacts=("engine.log",)),
    ]  # fmt: skip


def train(m: Moment) -> list[Step]:
    """Long jobs on a queue with one agent."""
    return [
        Step(name=":snake: Data", key="data", command="bin/data", takes=m.around(100)),
        Step(name=":brain: Train", key="train", command="bin/train", queue="gpu", takes=m.around(5400),
             outcome=m.odds(0.1, "timed_out"), retry=1),
    ]  # fmt: skip


def mobile(m: Moment) -> list[Step]:
    """On the other cluster's default queue."""
    odd = m.random.choice(("agent_stop", "process_run_error", "agent_refused", "stack_error", "agent_incompatible"))
    return [
        Step(name=":iphone: Build", key="ios", command="fastlane ios", takes=m.around(420),
             outcome=m.odds(0.08, f"{odd},passed"), retry=1),
        Step(name=":android: Build", key="android", command="fastlane android", takes=m.around(380)),
        Step(type="waiter"),
        Step(name="Store", key="store", command="fastlane upload", queue=None, takes=m.around(90)),
    ]  # fmt: skip


def monolith(m: Moment) -> list[Step]:
    """Unclustered: by `queue=legacy`, and by no rule at all."""
    return [
        Step(name="Specs", key="specs", command="rake spec", queue="legacy", parallelism=2, takes=m.around(600),
             outcome=m.odds(0.06, "lost,passed"), retry=1),
        Step(name="Docs", key="docs", command="rake docs", queue=None, takes=m.around(60)),
        Step(name="Specs", key="old-specs", command="rake old", takes=m.around(200)),
    ]  # fmt: skip


def soak(m: Moment) -> list[Step]:
    """Two days of running."""
    return [Step(name="Soak", key="soak", command="bin/soak", queue="soak", takes=m.around(172_800))]


def service(m: Moment) -> list[Step]:
    """What most pipelines do."""
    return [
        Step(name="Lint", key="lint", command="make lint", takes=m.around(30)),
        Step(name="Unit", key="unit", command="make unit", parallelism=4, takes=m.around(110),
             outcome=m.odds(0.09, "tests_failed")),
        Step(name="Integration", key="integration", command="make it", takes=m.around(180), retry=1,
             outcome=m.odds(0.06, "failed,passed")),
        Step(type="waiter"),
        Step(name=":package: Publish", key="publish", command="make publish", takes=m.around(40),
             artifacts=("dist/service.gz",)),
    ]  # fmt: skip


@dataclass(frozen=True)
class Part:
    """A pipeline of the demo: `share` is its part of the builds, cluster 0 or 1, or None for unclustered."""

    slug: str
    plan: Planner
    cluster: int | None = 0
    share: float = 1.0
    provider: str = "github"
    nightly: bool = False


PARTS = (
    Part("web", web, share=8),
    Part("deploy-web", deploy, share=0),
    Part("smoke", smoke, share=0.3, nightly=True),
    Part("engine", engine, share=4, provider="github_enterprise"),
    Part("train", train, share=2.5, provider="gitlab", nightly=True),
    Part("mobile", mobile, 1, share=3, provider="bitbucket"),
    Part("monolith", monolith, None, share=3, provider="bitbucket_server"),
    Part("soak", soak, share=0.5, provider="origin"),
    Part("catalogue", service, share=1, provider="gitlab_ee"),
    Part("billing", service, share=1, provider="codebase"),
    Part("attic", service, None, share=0.5, provider="beanstalk"),
    Part("prototype", service, 1, share=0.5, provider="unknown"),
)
"""The pipelines that the demo always has; it is filled up with services."""


def weight(moment: datetime) -> float:
    """How busy an hour is: working hours, calm nights, calmer weekends."""
    day = 1.0 if 8 <= moment.hour < 18 else 0.12
    return day * (0.15 if moment.weekday() >= 5 else 1.0)
