"""One GraphQL query asked for many things at once: a document of as many copies of it as fit (api.md 2.2, 5.1).

Requests of GraphQL cost nothing, points do: so the copies share what they can, and a document is as large as it may be
without draining a window. Each copy's fields carry its number: `job_7: job(uuid: $job_7) { events_7(after: $after_7)`.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from gql import GraphQLRequest
from graphql import (
    DocumentNode,
    FieldNode,
    NameNode,
    OperationDefinitionNode,
    SelectionSetNode,
    VariableDefinitionNode,
    VariableNode,
    Visitor,
    print_ast,
    visit,
)

from .budget import SINGLE_QUERY, cost, fields
from .errors import BadAnswer, QueryRefused
from .graphql import declared, execute, nodes, operations, page_path, read, rest_spelling, whole
from .rest import Size
from .wire import Wire

AT_ONCE = 150
"""Copies in one document at most."""
DOCUMENT = 4_000
"""Points that a document of several copies asks for at most: one of them should not drain a user's window of 5,000."""
REFUSALS = 3
"""Copies that are refused by themselves before the query itself is taken to be wrong."""

Values = Mapping[str, Any]


def at_once(points: int) -> int:
    """How many copies fit into a document, of a query that asks for so many points."""
    return max(min(AT_ONCE, DOCUMENT // max(points, 1), SINGLE_QUERY // max(points, 1)), 1)


@dataclass
class Found:
    """What one copy answered, in REST's spelling: `items` are all nodes of the connection that takes `$after`, or the
    object itself where none does; None where there is no such thing. `error`: it was refused, and the others were not.
    """

    number: int
    at: datetime | None
    items: list[dict[str, Any]] | None = None
    error: QueryRefused | None = None


@dataclass
class _Asked:
    number: int
    values: Values
    after: str | None = None
    had: list[dict[str, Any]] = field(default_factory=list)
    been: frozenset[str] = frozenset()


def many(wire: Wire, file: Path, asks: Sequence[Values], shared: Values) -> Iterator[Found]:
    """The `.graphql` file asked for each of `asks` ({variable: value}; what the file does not declare is left out).
    shared: variables of all of them. Raises what graphql.pages does, but for a copy that is refused by itself.
    """
    for answer in answers(wire, file, asks, shared):
        yield from answer


def answers(wire: Wire, file: Path, asks: Sequence[Values], shared: Values) -> Iterator[Iterator[Found]]:
    """The same by the documents that are answered; the next one is asked for once all of one's answers are taken."""
    if not asks:
        return
    batch = _Batch(wire, file, asks, shared)
    while batch.left:
        yield batch.turn()


class _Batch:
    def __init__(self, wire: Wire, file: Path, asks: Sequence[Values], shared: Values) -> None:
        self.wire, self.where, self.shared, self.request = wire, file.name, shared, read(file)
        named = declared(self.request)
        wanted = [{name: value for name, value in one.items() if name in named} for one in asks]
        self.left, self.refused = deque(_Asked(number, values) for number, values in enumerate(wanted)), 0
        try:
            self.path: list[str] | None = page_path(self.request, self.where)
        except QueryRefused:
            self.path = None
        first = list(self.left)[:1]
        self.size = Size(at_once(cost(self.document(first).document, _variables(first, shared))))

    def document(self, taken: Sequence[_Asked]) -> GraphQLRequest:
        return copies(self.request, [each.values for each in taken], self.shared)

    def turn(self) -> Iterator[Found]:
        """One document, and what it answered; a copy whose listing goes on is asked again with its cursor."""
        taken: list[_Asked] = []
        self.size.size = min(self.size.size, len(self.left))  # else half of it may be the same document again

        def ask(count: int, can_shrink: bool) -> Any:
            taken[:] = [self.left[at] for at in range(count)]
            sent = _variables(taken, self.shared)
            return execute(self.wire, self.document(taken), sent, self.where, can_shrink)

        try:
            body, answer = self.size.of(ask)
        except QueryRefused as error:
            yield from self._alone(taken, error)
            return
        self.size.grow()
        groups = _groups(self.request, [each.values for each in taken])
        again: list[_Asked] = []
        for place, each in enumerate(taken):
            self.left.popleft()
            root = {key: plain(body.get(f"{key}_{groups[key][place]}"), place) for key in groups}
            yield from self._read(each, root, answer.at, again)
        self.left.extendleft(reversed(again))

    def _read(self, asked: _Asked, root: Values, at: datetime, again: list[_Asked]) -> Iterator[Found]:
        if any(value is None for value in root.values()):
            yield Found(asked.number, at)
            return
        for operation in operations(self.request):
            whole(operation, root, self.where)
        if self.path is None:
            yield Found(asked.number, at, [rest_spelling(*root.values())])
            return
        more = _more(asked, root, self.path, self.where)
        if more:
            again.append(more)
        else:
            yield Found(asked.number, at, asked.had)

    def _alone(self, taken: Sequence[_Asked], error: QueryRefused) -> Iterator[Found]:
        """Of several that were refused, ask half; one that was refused by itself waits, and the others go on."""
        if len(taken) > 1:
            self.size.size, self.size.calm = len(taken) // 2, 0
            return
        self.refused += 1
        if self.refused >= REFUSALS:
            raise error
        yield Found(self.left.popleft().number, None, error=error)


def _more(asked: _Asked, root: Values, path: Sequence[str], where: str) -> _Asked | None:
    """Take what a page holds; what is still to be asked for if it is not the last one.

    A connection tells by `pageInfo`, or, a point cheaper, by its `count` and the cursors of its edges.
    """
    connection: Any = root
    for key in path:
        connection = connection.get(key)
        if connection is None:
            raise BadAnswer(f"{where}: {key} is null")
    found = nodes(connection, where)
    asked.had += [rest_spelling(node) for node in found]
    info = connection.get("pageInfo")
    if info is None:
        ended = len(asked.had) >= connection["count"]
        cursor = None if ended or not found else connection["edges"][-1]["cursor"]
    else:
        ended, cursor = not info["hasNextPage"], info["endCursor"]
    if ended:
        return None
    if not cursor or cursor in asked.been:
        raise BadAnswer(f"{where}: there is a next page, but its cursor does not move on")
    return _Asked(asked.number, asked.values, cursor, asked.had, asked.been | {cursor})


NUMBERED = re.compile(r"(.+)_(\d+)")


def plain(value: Any, number: int) -> Any:
    """One copy's part of an answer, under the names of the file: `{count_3: 1, count_4: 2}` -> `{count: 1}` for 3."""
    if isinstance(value, list):
        return [plain(each, number) for each in value]
    if not isinstance(value, dict):
        return value
    told = {}
    for key, kept in value.items():
        numbered = NUMBERED.fullmatch(key)
        if not numbered:
            told[key] = plain(kept, number)
        elif int(numbered[2]) == number:
            told[numbered[1]] = plain(kept, number)
    return told


def copies(request: GraphQLRequest, asks: Sequence[Values], shared: Values) -> GraphQLRequest:
    """The document with a numbered copy for each of `asks`; copies whose root is the same share it."""
    own = {*asks[0], "after"} - shared.keys()
    roots, groups, wanted = _roots(request), _groups(request, asks), []
    for key, root in roots.items():
        for group in dict.fromkeys(groups[key]):
            inside = [
                each
                for place, of in enumerate(groups[key])
                if of == group
                for each in _numbered(root.selection_set, own, place).selections
            ]
            arguments = tuple(_numbered(one, own, group) for one in root.arguments or ())
            wanted.append(_field(root, f"{key}_{group}", arguments, SelectionSetNode(selections=tuple(_once(inside)))))
    used = set(_used(*wanted))
    definitions = [
        OperationDefinitionNode(
            operation=one.operation,
            name=one.name,
            variable_definitions=tuple(_declared(one.variable_definitions, own, len(asks), used)),
            directives=(),
            selection_set=SelectionSetNode(selections=tuple(wanted)),
        )
        if isinstance(one, OperationDefinitionNode)
        else one
        for one in request.document.definitions
    ]
    return GraphQLRequest(DocumentNode(definitions=tuple(definitions)))


def _roots(request: GraphQLRequest) -> dict[str, FieldNode]:
    """The fields that the query begins with, by response key."""
    selected = operations(request)[0].selection_set
    return {(one.alias or one.name).value: one for one in fields(selected, {})}


def _groups(request: GraphQLRequest, asks: Sequence[Values]) -> dict[str, list[int]]:
    """For each root field and copy, the number of the first copy with the same arguments."""
    found = {}
    for key, root in _roots(request).items():
        used = _used(*(root.arguments or ()))
        seen: dict[str, int] = {}
        found[key] = [seen.setdefault(repr([ask.get(name) for name in used]), place) for place, ask in enumerate(asks)]
    return found


def _numbered(node: Any, own: set[str], number: int) -> Any:
    """`node` with the variables of a copy numbered, and an alias for each field that takes one."""

    class Number(Visitor):
        def leave_variable(self, found: VariableNode, *_: Any) -> VariableNode | None:
            return _variable(found, number) if found.name.value in own else None

        def leave_field(self, found: FieldNode, *_: Any) -> FieldNode | None:
            if not any(name.endswith(f"_{number}") for name in _used(*(found.arguments or ()))):
                return None
            alias = f"{(found.alias or found.name).value}_{number}"
            return _field(found, alias, found.arguments, found.selection_set)

    return visit(node, Number())


def _field(node: FieldNode, alias: str, arguments: Any, selected: SelectionSetNode | None) -> FieldNode:
    return FieldNode(
        alias=NameNode(value=alias),
        name=node.name,
        arguments=arguments,
        directives=node.directives,
        selection_set=selected,
    )


def _used(*nodes: Any) -> list[str]:
    """The variables in nodes, at whatever depth."""
    found: list[str] = []

    class Look(Visitor):
        def enter_variable(self, node: VariableNode, *_: Any) -> None:
            found.append(node.name.value)

    for node in nodes:
        visit(node, Look())
    return found


def _variable(node: VariableNode, number: int) -> VariableNode:
    return VariableNode(name=NameNode(value=f"{node.name.value}_{number}"))


def _declared(
    variables: Iterable[VariableDefinitionNode] | None, own: set[str], count: int, used: set[str]
) -> Iterator[VariableDefinitionNode]:
    """The variables that the copies use."""
    for one in variables or ():
        if one.variable.name.value not in own:
            yield one
            continue
        for number in range(count):
            variable = _variable(one.variable, number)
            if variable.name.value in used:
                yield VariableDefinitionNode(
                    variable=variable, type=one.type, default_value=one.default_value, directives=()
                )


def _once(selections: Iterable[Any]) -> Iterator[Any]:
    """Selections without those that are there already, as they are the same for every copy."""
    seen = set()
    for one in selections:
        text = print_ast(one)
        if text not in seen:
            seen.add(text)
            yield one


def _variables(asked: Sequence[_Asked], shared: Values) -> dict[str, Any]:
    own = {f"{name}_{place}": value for place, each in enumerate(asked) for name, value in each.values.items()}
    return {**shared, **own, **{f"after_{place}": each.after for place, each in enumerate(asked)}}
