"""What a GraphQL document asks for, before it runs: its complexity and its depth (api.md 2.2).

A field that gives an object costs 1, a scalar nothing; what a connection's nodes hold is counted once for each of the
`first` or `last` that was asked for, 500 if neither was. Fragments on several types count all together, each response
key once, at its dearest: whether the real one does so, or takes the dearest type, is not known; this is the stricter.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from graphql import (
    BooleanValueNode,
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLObjectType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    OperationDefinitionNode,
    SelectionSetNode,
    ValueNode,
    VariableNode,
    get_named_type,
    is_abstract_type,
    is_composite_type,
)
from graphql.utilities import value_from_ast_untyped

PAGE = 500
"""What a connection without `first` and `last` is counted as."""

INTROSPECTION = {"__schema": "__Schema", "__type": "__Type"}


@dataclass(frozen=True)
class Question:
    """One operation of a valid document, with the values of its variables."""

    schema: GraphQLSchema
    operation: OperationDefinitionNode
    fragments: Mapping[str, FragmentDefinitionNode]
    variables: Mapping[str, Any]

    @property
    def complexity(self) -> int:
        """The points that the document asks for."""
        root = self.schema.get_root_type(self.operation.operation)
        return self._cost(root, [self.operation.selection_set], 1)

    @property
    def depth(self) -> int:
        """Levels of fields, the leaves among them (api.md 2.2 leaves that open; this is the stricter reading)."""
        return self._depth(self.operation.selection_set)

    def _cost(self, kind: Any, sets: list[SelectionSetNode], size: int) -> int:
        """The points of the fields of one object; `size` is the page asked for, if the object is a connection."""
        kinds = self.schema.get_possible_types(kind) if is_abstract_type(kind) else [kind]
        dearest: Counter[str] = Counter()
        for one in kinds:
            dearest |= self._costs_of(one, sets, size)
        return dearest.total()

    def _costs_of(self, kind: GraphQLObjectType, sets: list[SelectionSetNode], size: int) -> Counter[str]:
        """The points of each response key of one type; a key that is selected twice is merged into one."""
        costs: Counter[str] = Counter()
        fields: dict[str, list[FieldNode]] = {}
        for one in sets:
            for field in self._fields(one, kind):
                fields.setdefault((field.alias or field.name).value, []).append(field)
        for key, same in fields.items():
            name = same[0].name.value
            gives = self._gives(kind, name)
            if is_composite_type(gives):
                below = [field.selection_set for field in same if field.selection_set]
                cost = self._cost(gives, below, self._page(same[0]))
                costs[key] = 1 + (size * (1 + cost) if name == "nodes" else cost * (size if name == "edges" else 1))
        return costs

    def _gives(self, kind: GraphQLObjectType, name: str) -> Any:
        """The named type of a field; None for __typename."""
        if name in INTROSPECTION:
            return self.schema.get_type(INTROSPECTION[name])
        return get_named_type(kind.fields[name].type) if name in kind.fields else None

    def _fields(self, selected: SelectionSetNode, kind: GraphQLObjectType | None = None) -> Iterable[FieldNode]:
        """The fields selected on an object of this type (of every type for None), fragments opened."""
        for one in selected.selections:
            if not self._included(one):
                continue
            if isinstance(one, FieldNode):
                yield one
                continue
            inner: Any = self.fragments[one.name.value] if isinstance(one, FragmentSpreadNode) else one
            if isinstance(one, InlineFragmentNode | FragmentSpreadNode) and self._meets(inner.type_condition, kind):
                yield from self._fields(inner.selection_set, kind)

    def _meets(self, condition: Any, kind: GraphQLObjectType | None) -> bool:
        if condition is None or kind is None or condition.name.value == kind.name:
            return True
        wanted: Any = self.schema.get_type(condition.name.value)
        return is_abstract_type(wanted) and self.schema.is_sub_type(wanted, kind)

    def _included(self, one: Any) -> bool:
        """Whether @skip and @include leave a selection in."""
        for directive in one.directives or ():
            name = directive.name.value
            if name in ("skip", "include") and self._value(directive.arguments[0].value) is not (name == "include"):
                return False
        return True

    def _page(self, field: FieldNode) -> int:
        """The greater of `first` and `last`, else 500; less than nothing is nothing."""
        given = [self._value(a.value) for a in field.arguments or () if a.name.value in ("first", "last")]
        return max((max(size, 0) for size in given if isinstance(size, int)), default=PAGE)

    def _value(self, given: ValueNode) -> Any:
        if isinstance(given, VariableNode):
            return self.variables.get(given.name.value)
        if isinstance(given, IntValueNode):
            return int(given.value)
        return given.value if isinstance(given, BooleanValueNode) else None

    def _depth(self, selected: SelectionSetNode | None) -> int:
        if selected is None:
            return 0
        return 1 + max((self._depth(field.selection_set) for field in self._fields(selected)), default=0)


def question(
    schema: GraphQLSchema, document: DocumentNode, variables: Mapping[str, Any], name: str | None = None
) -> Question:
    """The operation of this name (the only one for None). Raises LookupError if there is not exactly one."""
    operations = [one for one in document.definitions if isinstance(one, OperationDefinitionNode)]
    fragments = {one.name.value: one for one in document.definitions if isinstance(one, FragmentDefinitionNode)}
    wanted = [one for one in operations if name is None or (one.name and one.name.value == name)]
    if len(wanted) != 1:
        raise LookupError(f"No operation named {name!r}" if name else "Which operation? Send operationName")
    defaults = {
        one.variable.name.value: value_from_ast_untyped(one.default_value)
        for one in wanted[0].variable_definitions or ()
        if one.default_value is not None
    }
    return Question(schema, wanted[0], fragments, {**defaults, **variables})
