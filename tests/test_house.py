"""The house's rules, kept: who imports whom, what an import may do, how long a file may be, and that papers agree."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from buildkite_elt import describe, view_docs

ROOT = Path(__file__).parents[1]
KERNEL = ROOT / "sources" / "buildkite_ci"
APP = ROOT / "pipelines" / "buildkite_elt"
STANDIN = APP / "standin"
CODE = sorted(path for root in ("sources", "pipelines", "tests") for path in (ROOT / root).rglob("*.py"))
LONGEST = 400
MACHINE = re.compile(r"(?<![\w.)~])/(?:work|farm|tmp|root)/|\b(?:pypi\.org|pythonhosted\.org|registry\.npmjs\.org)\b")


def within(folder: Path) -> list[Path]:
    return [path for path in CODE if path.is_relative_to(folder)]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def module(path: Path) -> tuple[str, ...]:
    """A file's dotted name as its parts, without `__init__`."""
    root = ROOT / path.relative_to(ROOT).parts[0]
    parts = path.relative_to(root).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


def imports(path: Path) -> Iterator[tuple[bool, str]]:
    """Every import of a file, at any depth: whether it is written relatively, and the module it means.

    `from .x import y` is told as x.y's parent x: `package.x`; `from . import y` as `package.y`.
    """
    package = module(path) if path.name == "__init__.py" else module(path)[:-1]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from ((False, one.name) for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            start = ".".join((*base, *((node.module or "").split(".") if node.module else ())))
            names = [start] if node.module else [f"{start}.{one.name}" for one in node.names]
            yield from ((node.level > 0, name) for name in names)


def belongs(name: str, package: str) -> bool:
    return name == package or name.startswith(f"{package}.")


@pytest.mark.parametrize("path", within(STANDIN), ids=lambda path: path.name)
def test_the_standin_knows_nothing_of_the_connector(path: Path) -> None:
    for relative, name in imports(path):
        assert not belongs(name, "buildkite_ci"), f"{path}: imports {name}"
        assert not belongs(name, "buildkite_elt") or belongs(name, "buildkite_elt.standin"), f"{path}: imports {name}"
        assert relative == belongs(name, "buildkite_elt"), f"{path}: write the import of {name} relatively"


@pytest.mark.parametrize("path", within(KERNEL), ids=lambda path: path.name)
def test_the_kernel_knows_nothing_of_the_app_and_itself_relatively(path: Path) -> None:
    for relative, name in imports(path):
        assert not belongs(name, "buildkite_elt"), f"{path}: imports {name}"
        assert relative == belongs(name, "buildkite_ci"), f"{path}: write the import of {name} relatively"


def test_a_table_needs_only_table() -> None:
    for path in within(KERNEL / "tables"):
        for relative, name in imports(path):
            allowed = belongs(name, "buildkite_ci.table") if relative else name.split(".")[0] in sys.stdlib_module_names
            assert allowed, f"{path}: imports {name}"


def foreign(path: Path) -> dict[str, str]:
    """Names that a file binds by importing from neither the standard library nor itself -> the top package."""
    found: dict[str, str] = {}
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            found |= {(one.asname or one.name).split(".")[0]: one.name.split(".")[0] for one in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found |= {one.asname or one.name: node.module.split(".")[0] for one in node.names}
    return {name: package for name, package in found.items() if package not in sys.stdlib_module_names}


def decorators(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[ast.expr]:
    """The decorators as the calls that they are, also without parentheses."""
    return [
        one if isinstance(one, ast.Call) else ast.copy_location(ast.Call(one, [], []), one)
        for one in node.decorator_list
    ]


def at_import(body: list[ast.stmt]) -> Iterator[ast.expr]:
    """The expressions that run when these statements do: not the inside of a function, but its defaults and decorators.

    Annotations are left out: every file has `from __future__ import annotations`.
    """
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield from (*decorators(node), *node.args.defaults, *filter(None, node.args.kw_defaults))
        elif isinstance(node, ast.ClassDef):
            yield from (*decorators(node), *node.bases, *(one.value for one in node.keywords))
            yield from at_import(node.body)
        elif isinstance(node, ast.AnnAssign):
            yield from filter(None, [node.value])
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            continue
        else:
            for _, value in ast.iter_fields(node):
                inner = value if isinstance(value, list) else [value]
                yield from (one for one in inner if isinstance(one, ast.expr))
                yield from at_import([one for one in inner if isinstance(one, ast.stmt)])


def calls(expression: ast.expr) -> Iterator[ast.Call]:
    """The calls that evaluating an expression makes; a lambda's inside is for later."""
    if isinstance(expression, ast.Lambda):
        return
    if isinstance(expression, ast.Call):
        yield expression
    for child in ast.iter_child_nodes(expression):
        if isinstance(child, ast.expr):
            yield from calls(child)
        elif isinstance(child, ast.keyword | ast.comprehension):
            for inner in ast.iter_child_nodes(child):
                if isinstance(inner, ast.expr):
                    yield from calls(inner)


def root(expression: ast.expr) -> str:
    """`a` of `a.b.c()`."""
    while isinstance(expression, ast.Attribute | ast.Call | ast.Subscript):
        expression = expression.func if isinstance(expression, ast.Call) else expression.value
    return expression.id if isinstance(expression, ast.Name) else ""


def third_party_calls(path: Path) -> list[str]:
    """What the import of a file would call outside the standard library and itself; `dlt` is there when it matters."""
    others = {name for name, package in foreign(path).items() if package != "dlt"}
    return [
        f"{path.name}:{call.lineno}: {ast.unparse(call.func)}()"
        for expression in at_import(tree(path).body)
        for call in calls(expression)
        if root(call.func) in others
    ]


def test_importing_the_kernel_calls_no_third_party() -> None:
    assert [told for path in within(ROOT / "sources") for told in third_party_calls(path)] == []


def test_a_call_at_import_would_be_seen(tmp_path: Path) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(
        "from __future__ import annotations\nimport pyarrow as pa\nimport re\nA = pa.string()\nB = re.compile('b')\n"
        "class C:\n    d = [pa.int64() for _ in (1,)]\n    def e(self, f=pa.bool_()) -> pa.Table: return pa.table({})\n"
        "G = lambda: pa.string()\nif A:\n    H: object = {'i': pa.null()}\n@pa.udf\ndef j() -> None: pa.float64()\n"
    )
    assert third_party_calls(bad) == [
        "bad.py:4: pa.string()",
        "bad.py:7: pa.int64()",
        "bad.py:8: pa.bool_()",
        "bad.py:11: pa.null()",
        "bad.py:12: pa.udf()",
    ]


def test_no_module_is_longer_than_a_reader_can_hold() -> None:
    long = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in CODE}
    assert {name: lines for name, lines in long.items() if lines > LONGEST} == {}


def papers() -> list[Path]:
    """The project's files as git sees them, tracked or about to be; the lock is the one that must name a registry."""
    told = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True
    )
    if told.returncode:
        pytest.skip("not a git checkout, so nothing tells which files are the project's")
    names = [name for name in told.stdout.decode().split("\0") if name and name != "uv.lock"]
    return [ROOT / name for name in dict.fromkeys(names) if (ROOT / name).is_file()]


def test_no_file_names_this_machine() -> None:
    told = []
    for path in papers():
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
        told += [
            f"{path.relative_to(ROOT)}:{n}: {line.strip()}" for n, line in enumerate(lines, 1) if MACHINE.search(line)
        ]
    assert told == []


def targets() -> dict[str, str]:
    """The Makefile's documented targets -> what they say of themselves."""
    return dict(re.findall(r"^([a-z]+):.*?## (.+)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("paper", ["README.md", "CONTRIBUTING.md"])
def test_the_papers_name_only_targets_that_are_there(paper: str) -> None:
    text = (ROOT / paper).read_text(encoding="utf-8")
    named = set(re.findall(r"(?:^(?:\$ )?|`)make ([a-z]+)", text, re.MULTILINE))
    assert {"demo", "test"} <= named, f"{paper}: the two commands are not there"
    assert named <= targets().keys(), f"{paper}: no such target: {named - targets().keys()}"


def test_what_make_docs_writes_is_as_the_tables_are() -> None:
    told = (ROOT / "docs" / "tables.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert told == describe.markdown(), "a table has changed: run `make docs`"
    shown = (ROOT / "docs" / "views.md").read_text(encoding="utf-8")
    assert shown == view_docs.markdown(), "a view has changed: run `make docs`"
    assert readme == describe.written(readme), "a table has changed: run `make docs`"


def test_make_alone_tells_every_target() -> None:
    told = subprocess.run(["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name, sentence in targets().items():
        assert re.search(rf"^  make {name} +{re.escape(sentence)}$", told, re.MULTILINE), name


def test_an_old_python_is_told_in_a_sentence(tmp_path: Path) -> None:
    """A python3 that says it is 3.9, in a folder with nothing but the Makefile's needs."""
    old = tmp_path / "python3"
    old.write_text('#!/bin/sh\ntest "$1" = --version && echo Python 3.9.1 && exit 0\nexit 1\n')
    old.chmod(0o755)
    for name in ("Makefile", "pyproject.toml", "uv.lock"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    told = subprocess.run(["make", "test", f"PYTHON={old}"], cwd=tmp_path, capture_output=True, text=True)
    assert told.returncode == 2
    assert "needs Python 3.11 or newer" in told.stderr
    assert "is Python 3.9.1" in told.stderr
    assert not (tmp_path / ".venv").exists()


def project() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]  # type: ignore[no-any-return]


def test_the_changelog_knows_the_version() -> None:
    headings = re.findall(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings, "CHANGELOG.md has no `## [version]`"
    assert headings[0] in ("Unreleased", project()["version"])


def test_what_is_given_away_asks_for_what_it_imports() -> None:
    """requirements.txt (for `dlt init`) names each package that the kernel imports, as pyproject does."""
    asked = (KERNEL / "requirements.txt").read_text(encoding="utf-8").split()
    named = {re.split(r"[<>=\[]", line)[0] for line in asked}
    imported = {package for path in within(ROOT / "sources") for package in foreign(path).values()}
    package_of = {"graphql": "graphql-core"}
    assert named == {package_of.get(one, one) for one in imported if one != "buildkite_ci"}
    wheel = project()["dependencies"]
    assert isinstance(wheel, list)
    assert set(asked) <= {line.replace("[duckdb]", "") for line in wheel}


def test_the_licence_is_apache_2() -> None:
    text = (ROOT / "LICENSE").read_text(encoding="utf-8")
    assert project()["license"] == "Apache-2.0"
    assert "Version 2.0, January 2004" in text
    assert "END OF TERMS AND CONDITIONS" in text
