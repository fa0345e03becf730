"""The GraphQL of the stand-in: from the body of a POST to its JSON answer (api.md 1.6, 2.2, 5).

Stricter than the real one where that is not known to be wrong: a deprecated field is refused, and so is every document
that holds anything but queries.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import graphql as core
import orjson
from graphql import DocumentNode, GraphQLError, GraphQLSchema, OperationDefinitionNode, OperationType

from .answer import Ask, Refusal
from .budget import Budgets
from .complexity import Question, question
from .look import Look
from .resolvers import ROOT, resolve, type_of
from .world import World

Body = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """An answer, the points that were asked for and that it cost (None: it did not come to that), and whether it was
    an attempt to write."""

    status: int
    body: Body
    requested: int | None = None
    actual: int | None = None
    write: bool = False


@cache
def schema() -> GraphQLSchema:
    """buildkite.graphql, built once."""
    return core.build_schema((Path(__file__).parent / "buildkite.graphql").read_text(encoding="utf-8"))


def execute(world: World, ask: Ask, budgets: Budgets) -> Result:
    """Answer one POST: refuse what is not a good query, else run it."""
    try:
        query, variables, name = _read(ask.body)
    except ValueError as error:
        return Result(400, errors(str(error)))
    document, wrong = checked(query)
    if document is not None and not _reads(document):
        return Result(200, errors("The stand-in only reads: every operation must be a query"), write=True)
    if document is None or wrong:
        return Result(200, {"errors": list(wrong)})
    try:
        asked = question(schema(), document, variables, name)
    except LookupError as error:
        return Result(200, errors(error.args[0]))
    requested, refusal = _measured(asked, budgets)
    if refusal:
        return Result(200, errors(refusal), requested)
    try:
        body, actual = _run(Look(world, ask.token, budgets), document, variables, name)
    except Refusal as refused:
        return Result(refused.status, errors(refused.message), requested)
    if ask.headers.get("buildkite-include-query-stats") == "true":
        body["stats"] = {"requestedComplexity": requested, "actualComplexity": actual}
    return Result(200, body, requested, actual)


def errors(*messages: str) -> Body:
    """A body that only holds errors (api.md 1.6)."""
    return {"errors": [{"message": message} for message in messages]}


def _read(body: bytes) -> tuple[str, Body, str | None]:
    """The query, its variables and the name of its operation. Raises ValueError for a body that is not like that."""
    try:
        sent = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise ValueError("The body is not JSON") from None
    if not isinstance(sent, dict) or not isinstance(sent.get("query"), str):
        raise ValueError("The body must be a JSON object with a string `query`")
    variables, name = sent.get("variables") or {}, sent.get("operationName")
    if not isinstance(variables, dict):
        raise ValueError("`variables` must be an object")
    if name is not None and not isinstance(name, str):
        raise ValueError("`operationName` must be a string")
    return sent["query"], variables, name


@lru_cache(maxsize=256)
def checked(query: str) -> tuple[DocumentNode | None, tuple[Body, ...]]:
    """The document (None if it cannot be parsed) and what is wrong with it. Pages ask the same text again."""
    try:
        document = core.parse(query)
    except core.GraphQLSyntaxError as error:
        return None, (_told(error),)
    rules = [*core.specified_rules, core.NoDeprecatedCustomRule]
    return document, tuple(_told(error) for error in core.validate(schema(), document, rules))


def _reads(document: DocumentNode) -> bool:
    """Whether every operation is a query, whichever was to run."""
    operations = (one for one in document.definitions if isinstance(one, OperationDefinitionNode))
    return all(one.operation is OperationType.QUERY for one in operations)


def _measured(asked: Question, budgets: Budgets) -> tuple[int | None, str | None]:
    """The requested complexity, and why the query is refused before it runs; depth comes first, as it bounds both."""
    depth = asked.depth
    if depth > budgets.depth:
        return None, f"Query has depth of {depth}, which exceeds max depth of {budgets.depth}"
    requested = asked.complexity
    if requested > budgets.query:
        return requested, f"Query has complexity of {requested}, which exceeds max complexity of {budgets.query}"
    return requested, None


def _run(look: Look, document: DocumentNode, variables: Body, name: str | None) -> tuple[Body, int]:
    """The answer and the points of what was returned."""
    with look.world.lock:
        result = core.execute_sync(
            schema(),
            document,
            root_value=ROOT,
            context_value=look,
            variable_values=variables,
            operation_name=name,
            field_resolver=resolve,
            type_resolver=type_of,
        )
    _raise_bugs(result.errors or ())
    body: Body = {} if result.data is None else {"data": result.data}
    if result.errors:
        body["errors"] = [_told(error) for error in result.errors]
    return body, look.points


def _raise_bugs(found: Iterable[GraphQLError]) -> None:
    """An error of ours is not an answer of Buildkite's: the server keeps it and the test that met it fails."""
    for error in found:
        if error.original_error is not None and not isinstance(error.original_error, GraphQLError):
            raise error.original_error


def _told(error: GraphQLError) -> Body:
    """An error as it is sent: message, locations and path, as far as there are any."""
    return {key: value for key, value in error.formatted.items() if value}
