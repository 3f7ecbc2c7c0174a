"""The possible mutations of the code: mutmut's operators at every place.

mutmut's own command changes only functions without decorators. Much of this project is declared
in modules, classes and decorated functions, so this module looks for the places itself.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import libcst as cst
from libcst import matchers as m
from libcst.metadata import CodeRange, MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

# Annotations, type variables, `cast` and `__all__` do nothing at run time, so no test can notice a
# mutation of them. mutmut's operators do not change docstrings.
_NEVER = (
    m.Annotation()
    | m.Assign(targets=[m.AssignTarget(target=m.Name("__all__"))])
    | m.Call(func=m.Name("TypeVar") | m.Name("cast"))
)


@dataclass(frozen=True)
class Mutation:
    """One change of one file. The file's name is relative to the root of the repository."""

    file: str
    line: int
    statement: range
    """The lines of the statement with the change; for a compound statement, those of its head."""
    in_function: bool
    """False for code that runs when the module is imported."""
    id: str
    """The name of the mutation. It does not change when other code changes."""
    module: cst.Module
    before: cst.CSTNode
    after: cst.CSTNode

    def text(self) -> str:
        """The changed file."""
        changed = self.module.deep_replace(self.before, self.after)
        assert isinstance(changed, cst.Module)
        return changed.code


def mutations(root: Path, packages: Iterable[str]) -> Iterator[Mutation]:
    """Yield all mutations of the Python files of some packages."""
    for package in packages:
        for file in sorted((root / package).rglob("*.py")):
            yield from _of_file(file.relative_to(root).as_posix(), file.read_text())


def sample(found: Iterable[Mutation], number: int, seed: int) -> list[Mutation]:
    """Choose mutations by a hash of their names, so edits elsewhere do not change the choice."""

    def rank(mutation: Mutation) -> str:
        return _digest(f"{seed} {mutation.id}")

    return sorted(sorted(found, key=rank)[:number], key=lambda m: (m.file, m.line, m.id))


def _of_file(file: str, text: str) -> Iterator[Mutation]:
    wrapper = MetadataWrapper(cst.parse_module(text))
    places = _Places()
    wrapper.visit(places)
    seen = Counter[str]()
    for place in places.found:
        before = wrapper.module.code_for_node(place.node).strip()
        for changed in place.changes:
            change = f"{file}: {before} -> {wrapper.module.code_for_node(changed).strip()}"
            seen[change] += 1
            yield Mutation(
                file,
                place.line,
                place.statement,
                place.in_function,
                _digest(f"{change} {seen[change]}")[:10],
                wrapper.module,
                place.node,
                changed,
            )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class _Place:
    node: cst.CSTNode
    changes: list[cst.CSTNode]
    line: int
    statement: range
    in_function: bool


class _Places(cst.CSTVisitor):
    """Collects the nodes that an operator can change."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self) -> None:
        super().__init__()
        self.found: list[_Place] = []
        self._statements: list[range] = []
        self._bodies: list[cst.CSTNode] = []
        self._functions = 0

    def on_visit(self, node: cst.CSTNode) -> bool:
        if m.matches(node, _NEVER):
            return False
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            self._statements.append(self._lines(node))
        if isinstance(node, cst.FunctionDef | cst.Lambda):
            self._bodies.append(node.body)
        if self._bodies and node is self._bodies[-1]:
            self._functions += 1
        changes = [
            changed
            for kind, operator in mutation_operators
            if isinstance(node, kind)
            for changed in operator(node)
        ]
        if changes:
            statement = self._statements[-1]
            line = self._first_line(node) or statement.start
            self.found.append(_Place(node, changes, line, statement, self._functions > 0))
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        node = original_node
        if m.matches(node, _NEVER):
            return
        if isinstance(node, cst.BaseSmallStatement | cst.BaseCompoundStatement):
            self._statements.pop()
        if self._bodies and node is self._bodies[-1]:
            self._functions -= 1
        if isinstance(node, cst.FunctionDef | cst.Lambda):
            self._bodies.pop()

    def _lines(self, node: cst.BaseSmallStatement | cst.BaseCompoundStatement) -> range:
        position = cast("CodeRange", self.get_metadata(PositionProvider, node))
        end = position.end.line + 1
        if isinstance(node, cst.Match):
            end = self._first_line(node.cases[0])
        elif isinstance(body := getattr(node, "body", None), cst.IndentedBlock):
            end = self._first_line(body.body[0])
        return range(position.start.line, max(end, position.start.line + 1))

    def _first_line(self, node: cst.CSTNode) -> int:
        """The first line of a node; 0 for the few nodes whose position libcst does not know."""
        position = self.get_metadata(PositionProvider, node, None)
        return position.start.line if position else 0
