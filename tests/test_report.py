"""The page of `report`: what it says of a file, what it escapes, and how Chromium shows it."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from buildkite_ci.catalog import catalog
from buildkite_elt import connect, report, show, views
from buildkite_elt.frames import Warehouse
from buildkite_elt.report_parts import NUMBERS, Chart
from buildkite_elt.report_sections import SECTIONS
from buildkite_elt.standin import Standin
from buildkite_elt.standin.demo import demo
from conftest import ENOUGH, Command

SCRIPT, IMAGE = "<script>window.hit = 1; alert(1)</script>", '"><img src=x onerror="window.hit = 1">'
PARTS = [part for section in SECTIONS for part in section.parts]


@pytest.fixture
def empty() -> Iterator[Warehouse]:
    """Every table and view, and no row in them."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; CREATE SCHEMA ci; USE ci")
        for name in catalog():
            connection.execute(f'CREATE TABLE "{name}" AS {views.empty(name)}')
        assert views.create(connection.execute, "ci", catalog(), {}) == {}
        yield Warehouse(connection)


def test_nothing_is_a_sentence_and_never_an_empty_chart(empty: Warehouse) -> None:
    moment = datetime(2026, 10, 1, 12, tzinfo=UTC)
    page = report.page(empty, report.relations(empty), "acme-inc", moment, "when builds were last read")
    blocks = [block for section in page.sections for block in section.blocks]
    assert [block.says for block in blocks] == [part.empty for part in PARTS]
    assert not any(block.wide or block.rows for block in blocks)
    assert {title: value for title, value, _ in page.numbers} == {
        number.title: "–" for number in NUMBERS if number.title != "Requests"
    }


def test_kinds_are_colours_of_the_page() -> None:
    style = (Path(report.__file__).parent / "report.html").read_text(encoding="utf-8")
    named = {colour for part in PARTS if isinstance(part, Chart) for colour in part.kinds.values()}
    for colour in named:
        assert len(re.findall(rf"--{colour}: #", style)) == 2, f"{colour}: one for light, one for dark"


def test_a_section_whose_tables_are_missing_says_what_to_load(command: Command, database: Path) -> None:
    assert command("load", "agents", "-o", "acme-inc").exit_code == 0
    told = command("report", "--json")
    assert told.exit_code == 0, told.output
    page = Path(json.loads(told.stdout)["report"])
    text = page.read_text(encoding="utf-8")
    assert page.stat().st_mode & 0o777 == 0o600
    assert "This needs builds, not loaded yet: <code>buildkite-elt load builds</code>" in text
    assert "This needs builds and jobs, not loaded yet: <code>buildkite-elt load builds jobs</code>" in text
    assert "when it was last loaded. All times are UTC." in text
    assert text.count("<svg") == 2  # requests of the load, wide and narrow


def test_a_page_of_builds_alone_and_hostile_text(command: Command, database: Path) -> None:
    """Names, messages and addresses from the API are text on the page and nothing else."""
    hostile(command, database)
    assert command("report", "--output", "page.html").exit_code == 0
    text = Path("page.html").read_text(encoding="utf-8")
    assert "&lt;script&gt;window.hit" in text
    assert "<script" not in text
    assert "<img" not in text
    assert "javascript:" not in text
    assert "http-equiv" in text
    assert not re.search(r'(?:src|href)="(?!#|data:,|https?://)', text)
    assert "This needs job_log_matches and job_logs, not loaded yet" in text


@pytest.mark.slow
def test_numbers_are_those_of_the_tables(demo_file: Path) -> None:
    """Builds and waits, counted anew without the views."""
    with connect(demo_file) as warehouse:
        there = report.relations(warehouse)
        ((slug, until, ends),) = report.chosen(warehouse, there, ())
        page = report.page(warehouse, there, slug, until, ends)
        told = {title: (value, note) for title, value, note in page.numbers}
        builds, passed, failed = warehouse.execute(
            "SELECT count(*), count(*) FILTER (state = 'passed' AND blocked IS NOT TRUE), "
            "count(*) FILTER (state = 'failed' AND blocked IS NOT TRUE) FROM builds WHERE created_at >= ?",
            [page.since],
        ).fetchone() or (0, 0, 0)
        waits = warehouse.execute(
            "SELECT epoch(started_at) - epoch(runnable_at) AS wait FROM jobs "
            "WHERE type = 'script' AND runnable_at >= ? AND started_at >= runnable_at ORDER BY wait",
            [page.since],
        ).fetchall()
    assert told["Builds"][0] == f"{builds:,}"
    assert told["Success rate"][1] == f"{passed:,} passed, {failed:,} failed"
    assert told["Wait, median"] == (show.span(waits[len(waits) // 2][0]), f"{len(waits):,} jobs")
    assert told["Wait, p95"][0] == show.span(waits[int(0.95 * len(waits))][0])


def hostile(command: Command, database: Path) -> None:
    """A file of builds and agents, in which people chose the worst names that they could."""
    assert command("load", "builds", "agents", "-o", "acme-inc", "--since", "2026-01-01").exit_code == 0
    with duckdb.connect(str(database)) as connection:
        connection.execute("SET schema = 'ci'")
        connection.execute("UPDATE builds SET pipeline_slug = ?, message = ?", [SCRIPT, IMAGE])
        connection.execute("UPDATE jobs SET pipeline_slug = ?, step_key = ? || name, name = ?", [SCRIPT, IMAGE, IMAGE])
        connection.execute("UPDATE jobs SET web_url = 'javascript:window.hit = 1'")


@pytest.mark.slow
def test_each_organization_has_a_part_of_the_page(
    command: Command, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = demo(days=16, builds_per_day=3, organizations=("acme-inc", "globex"))
    with Standin(world, budgets=ENOUGH) as two:
        monkeypatch.setenv("BUILDKITE_API_TOKEN", two.token)
        monkeypatch.setenv("BUILDKITE_REST_URL", two.rest_url)
        monkeypatch.setenv("BUILDKITE_GRAPHQL_URL", two.graphql_url)
        assert command("load", "builds", "-o", "acme-inc,globex", "--since", "2026-01-01").exit_code == 0
    assert command("report").stdout.strip() == f"The report is in {report.NAME}"
    heads = re.findall(r"<h1>(.*?)</h1>", Path(report.NAME).read_text(encoding="utf-8"))
    assert heads == ["CI health of acme-inc", "CI health of globex"]
    assert command("report", "-o", "globex").exit_code == 0
    heads = re.findall(r"<h1>(.*?)</h1>", Path(report.NAME).read_text(encoding="utf-8"))
    assert heads == ["CI health of globex"]
    told = command("report", "-o", "gamma")
    assert (told.exit_code, "it has acme-inc, globex" in told.stderr) == (2, True), told.output


def test_what_cannot_be_written_or_read_is_told(command: Command, tmp_path: Path) -> None:
    told = command("report")
    assert (told.exit_code, "There is no buildkite.duckdb yet" in told.stderr) == (1, True)
    for output, why in ((tmp_path, "is a folder"), (tmp_path / "none" / "page.html", "There is no folder")):
        told = command("report", "--output", output)
        assert (told.exit_code, why in told.stderr) == (2, True), told.output


# What a browser is asked of a page: every text with its colour, its background and its box, every chart with its marks.
LOOK = """() => {
  const seen = node => node.getClientRects().length > 0 && getComputedStyle(node).visibility === 'visible';
  const box = node => { const r = node.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const ground = node => { for (; node; node = node.parentElement) {
    const colour = getComputedStyle(node).backgroundColor; if (!/, 0\\)$/.test(colour)) return colour; }
    return 'rgb(255, 255, 255)'; };
  const own = node => [...node.childNodes].some(one => one.nodeType === 3 && one.textContent.trim());
  const texts = [...document.querySelectorAll('body *')].filter(node => own(node) && seen(node)).map(node => {
    const style = getComputedStyle(node), svg = node instanceof SVGElement;
    return {text: node.textContent, colour: svg ? style.fill : style.color, ground: ground(node), box: box(node),
      size: parseFloat(style.fontSize) * (svg ? node.getScreenCTM().a : 1)}; });
  const charts = [...document.querySelectorAll('svg')].filter(seen).map(svg => ({
    label: svg.getAttribute('aria-label'), box: box(svg),
    marks: [...svg.querySelectorAll('.marks > *')].filter(m => m.tagName !== 'text')
      .map(box).filter(b => b[2] > b[0] || b[3] > b[1]).length,
    texts: [...svg.querySelectorAll('text')].map(node => [node.textContent, box(node)])}));
  const root = document.documentElement;
  return {texts, charts, wide: root.scrollWidth, room: root.clientWidth, hit: window.hit || 0};
}"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium without a window."""
    chromium = shutil.which("chromium")
    if not chromium:
        pytest.skip("Chromium is not there: nothing shows the page")
    words = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    with sync_playwright() as playwright:
        words += " --disable-component-update --disable-sync"
        started = playwright.chromium.launch(executable_path=chromium, args=words.split())
        yield started
        started.close()


def look(browser: Browser, file: Path, width: int, height: int, scheme: Any, picture: Path) -> dict[str, Any]:
    """What LOOK tells of a page, once nothing was asked of the network and nothing was said on the console."""
    told: list[str] = []
    with browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme) as context:
        page: Page = context.new_page()
        page.on("console", lambda message: told.append(message.text))
        page.on("pageerror", lambda error: told.append(str(error)))
        page.on("dialog", lambda dialog: told.append(dialog.message))
        page.on("request", lambda request: told.append(request.url))
        page.goto(file.as_uri(), wait_until="load")
        found: dict[str, Any] = page.evaluate(LOOK)
        page.screenshot(path=picture, full_page=True)
    assert told == [file.as_uri()]
    return found


def judged(found: dict[str, Any]) -> None:
    """No horizontal scroll, every chart drawn, nothing over anything else, and all of it legible."""
    assert found["wide"] <= found["room"]
    assert found["hit"] == 0
    for chart in found["charts"]:
        assert chart["marks"] > 0, chart["label"]
        assert chart["label"]
        assert 0 <= chart["box"][0] < chart["box"][2] <= found["room"]
        texts = chart["texts"]
        for at, (text, box) in enumerate(texts):
            assert box[0] >= 0, (chart["label"], text)
            assert box[2] <= found["room"], (chart["label"], text)
            for other, below in texts[at + 1 :]:
                over = min(box[2], below[2]) - max(box[0], below[0]), min(box[3], below[3]) - max(box[1], below[1])
                assert min(over) <= 1, (chart["label"], text, other)
    for one in found["texts"]:
        assert contrast(one["colour"], one["ground"]) >= 4.5, one
        assert one["size"] >= 11, one


def contrast(one: str, other: str) -> float:
    """WCAG's contrast of two colours as CSS has them: rgb(1, 2, 3)."""
    lights = []
    for colour in (one, other):
        parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)
    return max(lights) / min(lights)


def test_contrast_is_as_wcag_has_it() -> None:
    assert contrast("rgb(0, 0, 0)", "rgb(255, 255, 255)") == pytest.approx(21)
    assert contrast("rgb(119, 119, 119)", "rgb(255, 255, 255)") == pytest.approx(4.48, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(400, 800), (1280, 900)])
def test_the_demos_report_in_chromium(
    browser: Browser, demo_file: Path, tmp_path: Path, width: int, height: int, scheme: str
) -> None:
    file = demo_file.with_name(report.NAME)
    found = look(browser, file, width, height, scheme, tmp_path / f"report-{width}-{scheme}.png")
    judged(found)
    assert len(found["charts"]) == sum(isinstance(part, Chart) for part in PARTS)
    assert file.stat().st_size < 500_000


@pytest.mark.slow
def test_hostile_text_does_nothing_in_chromium(
    browser: Browser, command: Command, database: Path, tmp_path: Path
) -> None:
    hostile(command, database)
    file = tmp_path / "page.html"
    assert command("report", "--output", file).exit_code == 0
    for width in (400, 1280):
        judged(look(browser, file, width, 800, "light", tmp_path / f"hostile-{width}.png"))
