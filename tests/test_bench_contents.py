"""docs/benchmarks.md is what its pages say."""

from __future__ import annotations

from bench import contents


def test_the_contents_are_those_of_the_pages() -> None:
    kept = (contents.DOCS / "benchmarks.md").read_text(encoding="utf-8")
    assert kept == contents.page(), "write it anew: python -m bench.contents > docs/benchmarks.md"


def test_every_page_is_in_the_contents() -> None:
    assert {path.name for path in contents.DOCS.glob("benchmarks-*.md")} == {
        f"benchmarks-{name}.md" for name in contents.PAGES
    }


def test_a_long_table_is_cut_and_says_so() -> None:
    assert "more are there." in contents.page()
