"""Edits of one function of the project's source, found by its name.

A fragment is compared token by token: line breaks and indentation do not matter. It must stand in
the function exactly once.
"""

import ast
import re
from collections.abc import Iterator
from itertools import pairwise

_TOKEN = re.compile(r"\w+|[^\w\s]")


class Misplaced(LookupError):
    """The function or the fragment is not in the source, or is there more than once."""


class Function:
    """A function, a method (`Class.method`), a nested function, a class or a constant of a module.

    Raises Misplaced when the module has no such name, or several.
    """

    def __init__(self, source: str, name: str) -> None:
        self._source = source.encode()
        starts = [0]
        for line in self._source.splitlines(keepends=True):
            starts.append(starts[-1] + len(line))
        self._starts = starts
        self._node = _named(ast.parse(source), name)

    def replace(self, old: str, new: str) -> str:
        """The module with `new` in the place of the fragment `old`."""
        start, end = self._find(old)
        return self._with(start, end, new)

    def drop(self, fragment: str) -> str:
        """The module without the smallest statement that contains the fragment."""
        start, end = self._find(fragment)
        around = [
            span
            for each in ast.walk(self._node)
            if isinstance(each, ast.stmt) and each is not self._node
            for span in [self._span(each)]
            if span[0] <= start and end <= span[1]
        ]
        if not around:
            raise Misplaced(f"{fragment!r} stands in no statement")
        first, last = min(around, key=lambda span: span[1] - span[0])
        return self._with(first, last, "pass")

    def skip(self, value: str) -> str:
        """The module with a function that does nothing but return `value`."""
        if not isinstance(self._node, ast.FunctionDef | ast.AsyncFunctionDef):
            raise Misplaced("only a function can be skipped")
        yields = any(isinstance(each, ast.Yield | ast.YieldFrom) for each in ast.walk(self._node))
        body = self._node.body
        start, end = self._span(body[0])[0], self._span(body[-1])[1]
        return self._with(start, end, f"yield from {value}" if yields else f"return {value}")

    def _find(self, fragment: str) -> tuple[int, int]:
        start, end = self._span(self._node)
        found = list(_pattern(fragment).finditer(self._source[start:end].decode()))
        if len(found) != 1:
            raise Misplaced(f"{fragment!r} is there {len(found)} times")
        text = self._source[start:end].decode()
        before, upto = text[: found[0].start()], text[: found[0].end()]
        return start + len(before.encode()), start + len(upto.encode())

    def _span(self, node: ast.AST) -> tuple[int, int]:
        assert isinstance(node, ast.stmt)
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        start = self._starts[node.lineno - 1] + node.col_offset
        return start, self._starts[node.end_lineno - 1] + node.end_col_offset

    def _with(self, start: int, end: int, new: str) -> str:
        """Further lines of `new` are indented as the line that they follow."""
        line = self._source[:start].rpartition(b"\n")[2] + self._source[start : start + 1]
        indent = len(line) - len(line.lstrip())
        text = new.replace("\n", "\n" + " " * indent)
        return (self._source[:start] + text.encode() + self._source[end:]).decode()


def replace_text(source: str, old: str, new: str) -> str:
    """For a file that is not Python. Raises Misplaced."""
    if source.count(old) != 1:
        raise Misplaced(f"{old!r} is there {source.count(old)} times")
    return source.replace(old, new)


def _pattern(fragment: str) -> re.Pattern[str]:
    tokens = _TOKEN.findall(fragment)
    joined = re.escape(tokens[0])
    for before, after in pairwise(tokens):
        gap = r"\s+" if before[-1].isalnum() and after[0].isalnum() else r"\s*"
        joined += gap + re.escape(after)
    start = r"\b" if tokens[0][0].isalnum() else ""
    return re.compile(start + joined + (r"\b" if tokens[-1][-1].isalnum() else ""))


def _named(tree: ast.Module, name: str) -> ast.stmt:
    node: ast.AST = tree
    for part in name.split("."):
        found = [each for each in _inside(node) if part in _names(each)]
        if len(found) != 1:
            raise Misplaced(f"{part!r} of {name!r} is there {len(found)} times")
        node = found[0]
    assert isinstance(node, ast.stmt)
    return node


def _inside(node: ast.AST) -> Iterator[ast.stmt]:
    """The statements of a function or class, without those of the functions within it."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield from _inside(child)


def _names(statement: ast.stmt) -> list[str]:
    match statement:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            return [statement.name]
        case ast.Assign():
            return [each.id for each in statement.targets if isinstance(each, ast.Name)]
        case ast.AnnAssign(target=ast.Name(id=name)):
            return [name]
    return []
