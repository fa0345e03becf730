"""GraphQL listings: gql over our wire; the page is the connection that takes `$after`, found in the document itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gql import Client, GraphQLRequest
from gql.transport.exceptions import TransportQueryError
from gql.transport.transport import Transport
from graphql import (
    ArgumentNode,
    ExecutionResult,
    FieldNode,
    GraphQLSyntaxError,
    IntValueNode,
    NameNode,
    OperationDefinitionNode,
    OperationType,
    SelectionSetNode,
    VariableNode,
    Visitor,
    visit,
)

from .budget import PAGE, SINGLE_QUERY, cost, fields
from .errors import BadAnswer, NotFound, Null, QueryRefused, TooHeavy, WriteRefused
from .rest import Page, Size
from .wire import Answer, Wire

ERRORS = 3
"""Errors of one answer that are told; they are mostly alike."""

INSIDE = {"edges", "node", "nodes", "pageInfo"}
"""The parts of a connection."""


class OverWire(Transport):
    """gql's seam: its requests go through our one client, and nothing but a query does."""

    def __init__(self, wire: Wire, where: str, can_shrink: bool) -> None:
        self.wire, self.where, self.can_shrink = wire, where, can_shrink
        self.answer: Answer | None = None

    def execute(self, request: GraphQLRequest, *args: Any, **kwargs: Any) -> ExecutionResult:
        refuse_writes(request, self.where)
        points = cost(request.document, request.variable_values)
        if points > SINGLE_QUERY:
            error = TooHeavy if self.can_shrink else QueryRefused
            raise error(f"{self.where}: it may cost {points} points, and one query at most {SINGLE_QUERY}")
        self.answer = self.wire.post(request.payload, points, self.can_shrink)
        data, errors = self.answer.body.get("data"), self.answer.body.get("errors")
        if data is None and not errors:
            raise BadAnswer(f"{self.where}: an answer with neither data nor errors")
        return ExecutionResult(data=data, errors=errors)


def refuse_writes(request: GraphQLRequest, where: str) -> None:
    """Raise WriteRefused unless every operation of the document is a query."""
    for one in operations(request):
        if one.operation is not OperationType.QUERY:
            raise WriteRefused(where, one.operation.value)


def pages(wire: Wire, file: Path, variables: Mapping[str, Any]) -> Iterator[Page]:
    """Each page of a `.graphql` file: the nodes of its connection, with REST's spelling (see `rest_spelling`).

    Raises QueryRefused naming file, line and column; NotFound for a null organization; BadAnswer for a null node or a
    cursor that does not move on: a page is whole or it is an error. A page that is too heavy (a 504, too many points
    for one query or for what this run may spend) is asked for in half the size.
    """
    request = read(file)
    path, size = page_path(request, file.name), Size(page_size(request))
    after: str | None = None
    asked: set[Any] = {None}
    while True:
        given = {**variables, "after": after}
        body, answer = size.of(lambda n, can: execute(wire, resized(request, n), given, file.name, can))  # noqa: B023
        size.grow()
        connection = follow(body, path, file.name, str(variables.get("organization")))
        for operation in operations(request):
            whole(operation, body, file.name)
        yield Page([rest_spelling(node) for node in nodes(connection, file.name)], answer.at)
        info = connection.get("pageInfo")
        if not isinstance(info, dict) or "hasNextPage" not in info:
            raise BadAnswer(f"{file.name}: a page does not say whether there is a next one")
        if not info["hasNextPage"]:
            return
        if info.get("endCursor") in asked:
            raise BadAnswer(f"{file.name}: there is a next page, but its cursor does not move on")
        after = info["endCursor"]
        asked.add(after)


def read(file: Path) -> GraphQLRequest:
    """A `.graphql` file as a request; QueryRefused where it is not GraphQL."""
    try:
        return GraphQLRequest(file.read_text(encoding="utf-8"))
    except GraphQLSyntaxError as error:
        spots = "".join(f":{spot.line}:{spot.column}" for spot in error.locations or ())
        raise QueryRefused(f"{file.name}{spots}: {error.message}") from None


def execute(
    wire: Wire, request: GraphQLRequest, variables: Mapping[str, Any], where: str, can_shrink: bool = False
) -> tuple[Any, Answer]:
    """The `data` of one request. can_shrink: see Wire.get."""
    transport, named = OverWire(wire, where, can_shrink), declared(request)
    sent = GraphQLRequest(request, variable_values={n: value for n, value in variables.items() if n in named})
    try:
        data = Client(transport=transport).execute(sent)
    except TransportQueryError as error:
        said = list(dict.fromkeys(_told(one, where) for one in error.errors or []))
        more = [f"and {len(said) - ERRORS} more"] if len(said) > ERRORS else []
        raise QueryRefused("; ".join([*said[:ERRORS], *more])) from None
    assert transport.answer
    return data, transport.answer


def operations(request: GraphQLRequest) -> list[OperationDefinitionNode]:
    return [one for one in request.document.definitions if isinstance(one, OperationDefinitionNode)]


def declared(request: GraphQLRequest) -> set[str]:
    """The variables that a document names; a strict server may refuse others."""
    return {each.variable.name.value for one in operations(request) for each in one.variable_definitions or ()}


def _told(error: Any, where: str) -> str:
    """One GraphQL error as `file:line:column: message`."""
    if not isinstance(error, Mapping):
        return f"{where}: {error}"
    spots = [f"{spot.get('line')}:{spot.get('column')}" for spot in error.get("locations") or []]
    return ":".join([where, *spots[:1]]) + f": {error.get('message')}"


def page_path(request: GraphQLRequest, where: str) -> list[str]:
    """Response keys from the root to the field that takes `$after`."""
    for operation in operations(request):
        found = _path(operation)
        if found:
            return found
    raise QueryRefused(f"{where}: no field takes $after, so there is no page to turn")


def _path(selected: Any) -> list[str] | None:
    for one in fields(selected.selection_set, {}):
        key = (one.alias or one.name).value
        if takes_after(one):
            return [key]
        below = _path(one) if one.selection_set else None
        if below:
            return [key, *below]
    return None


def takes_after(one: FieldNode) -> bool:
    return any(isinstance(a.value, VariableNode) and a.value.name.value == "after" for a in one.arguments or ())


def page_size(request: GraphQLRequest) -> int:
    """The `first` of the connection that takes `$after`."""
    sizes: list[int] = []

    class Look(Visitor):
        def enter_field(self, node: FieldNode, *_: Any) -> None:
            if takes_after(node):
                first = next((a.value for a in node.arguments or () if a.name.value == "first"), None)
                sizes.append(int(first.value) if isinstance(first, IntValueNode) else PAGE)

    visit(request.document, Look())
    return sizes[0]


def resized(request: GraphQLRequest, size: int, *, count: bool = False) -> GraphQLRequest:
    """The document with another `first` for the connection that takes `$after`, and with its `count` if wanted."""

    class Resize(Visitor):
        def leave_field(self, node: FieldNode, *_: Any) -> FieldNode | None:
            if not (node.selection_set and takes_after(node)):
                return None
            first = ArgumentNode(name=NameNode(value="first"), value=IntValueNode(value=str(size)))
            kept = (one for one in node.arguments or () if one.name.value != "first")
            more = (FieldNode(name=NameNode(value="count"), arguments=(), directives=()),) if count else ()
            return FieldNode(
                alias=node.alias,
                name=node.name,
                arguments=(*kept, first),
                directives=node.directives,
                selection_set=SelectionSetNode(selections=(*node.selection_set.selections, *more)),
            )

    return GraphQLRequest(visit(request.document, Resize()))


def follow(data: Any, path: list[str], where: str, organization: str) -> dict[str, Any]:
    """The connection at `path`."""
    for key in path:
        data = data.get(key)
        if data is None and key == path[0]:
            raise NotFound(f"Organization {organization!r}", "GraphQL answered null")
        if data is None:
            raise Null(f"{where}: {key} is null")
    return dict(data)


def whole(selected: Any, value: Mapping[str, Any], where: str) -> None:
    """Raise BadAnswer where a connection, at whatever depth, or something in it is null: rows would go missing."""
    for one in fields(selected.selection_set, {}):
        key, found = (one.alias or one.name).value, value.get((one.alias or one.name).value)
        below = {field.name.value for field in fields(one.selection_set, {})}
        rows = found if isinstance(found, list) else [found]
        if (key in INSIDE or below & INSIDE) and any(row is None for row in rows):
            raise Null(f"{where}: {key} is null, or holds a null")
        for row in rows:
            if isinstance(row, dict):
                whole(one, row, where)


def nodes(connection: Mapping[str, Any], where: str) -> list[dict[str, Any]]:
    """A connection's nodes; a null among them is an error, as a row would go missing."""
    edges = connection.get("edges")
    found = [edge and edge.get("node") for edge in edges] if edges is not None else connection.get("nodes")
    if found is None or any(node is None for node in found):
        raise Null(f"{where}: a page holds a null where a node should be")
    return found


CAPITAL = re.compile(r"(?<=[a-z0-9])([A-Z])|(?<=[A-Z])([A-Z])(?=[a-z])")


def snake(name: str) -> str:
    """`createdAt` -> `created_at`, `ssoURL` -> `sso_url`; `__typename` stays."""
    return CAPITAL.sub(lambda found: "_" + found[0], name).lower()


def rest_spelling(value: Any) -> Any:
    """GraphQL's objects as REST would spell them: snake_case keys; `uuid` is `id`, and then `id` is `graphql_id`."""
    if isinstance(value, list):
        return [rest_spelling(one) for one in value]
    if not isinstance(value, dict):
        return value
    renamed = {"id": "graphql_id", "uuid": "id"} if "uuid" in value else {}
    return {renamed.get(key) or snake(key): rest_spelling(kept) for key, kept in value.items()}
