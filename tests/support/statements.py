"""Every SQL statement of the package, found by reading its source: nobody has to name them."""

import ast
import functools
import importlib
import pkgutil
import re
from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from types import ModuleType

import kalshi_ingest

_BEGIN = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*(?:"
    r"select\s|insert\s+into\s|update\s+\S+\s+(?:as\s+)?(?:\w+\s+)?set\s|delete\s+from\s|with\s+(?:recursive\s+)?\w+\s+as\s"
    r"|refresh\s+materialized\s|create\s+(?:temporary\s+|unlogged\s+)?(?:table|index|schema|database|view)\s"
    r"|drop\s+(?:table|schema|index)\s|alter\s+table\s|analyze\s+[a-z{]|truncate\s|lock\s+table\s|copy\s+[\w{(]"
    r"|set\s+(?:local\s|transaction\s)|do\s+\$|call\s|vacuum\b|notify\s|listen\s|savepoint\s"
    r")"
)
"""How a statement begins. In a sentence the same word begins otherwise, or in another case."""


@dataclass(frozen=True, slots=True)
class Found:
    """One text of SQL."""

    name: str
    """Module and constant, or module and function."""
    text: str | None
    """None: it is made from what only the function knows."""


def modules() -> Iterator[tuple[ModuleType, ast.Module]]:
    """Every module of the package but the simulator, which knows no database, and the entry, which runs."""
    for found in pkgutil.walk_packages(kalshi_ingest.__path__, "kalshi_ingest."):
        if ".simulator" not in found.name and not found.name.endswith("__main__"):
            module = importlib.import_module(found.name)
            yield module, ast.parse(Path(str(module.__file__)).read_text(encoding="utf-8"))


def is_sql(text: str) -> bool:
    """Whether a text begins as a statement does; the program writes all in small letters or all in capitals."""
    head = text.strip()[:200]
    return bool(_BEGIN.match(text) or (head[:6].isupper() and _BEGIN.match(text.lower())))


@functools.cache
def found() -> tuple[Found, ...]:
    """Every statement: constants of modules, also inside tuples, tables and objects, and texts inside functions."""
    return tuple(one for module, tree in modules() for one in (*_constants(module), *_inside(module, tree)))


def _constants(module: ModuleType) -> Iterator[Found]:
    for name, value in list(vars(module).items()):
        if not name.startswith("__"):
            for place, text in named_texts(value):
                if is_sql(text):
                    yield Found(f"{module.__name__}.{name}{place}", text)


def named_texts(value: object) -> Iterator[tuple[str, str]]:
    """The texts in a value, each with its place there."""
    if isinstance(value, str):
        yield "", value
    elif isinstance(value, list | tuple | set | frozenset):
        for at, one in enumerate(value):
            yield from ((f"[{at}]{place}", text) for place, text in named_texts(one))
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from ((f"[{key}]{place}", text) for place, text in named_texts(one))
    elif is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            yield from ((f".{field.name}{place}", text) for place, text in named_texts(getattr(value, field.name)))


def _inside(module: ModuleType, tree: ast.Module) -> Iterator[Found]:
    """The texts that functions hold themselves: worked out where the module's own names are enough."""
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for node in _expressions(function):
                made = _made(module, node)
                if is_sql(made if made is not None else _shape(node)):
                    yield Found(f"{module.__name__}.{function.name}", made)


def _expressions(function: ast.AST) -> Iterator[ast.expr]:
    """The largest expressions that make a text, without docstrings and the functions inside."""
    for node in ast.iter_child_nodes(function):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            continue
        if isinstance(node, ast.JoinedStr) or _is_text(node):
            assert isinstance(node, ast.expr)
            yield node
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            yield node
        else:
            yield from _expressions(node)


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _made(module: ModuleType, node: ast.expr) -> str | None:
    """The text itself when it is made of literals and names of the module alone."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.Name):
        known = vars(module).get(node.id)
        return known if isinstance(known, str) else None
    if isinstance(node, ast.FormattedValue):
        return _made(module, node.value)
    parts: list[ast.expr] = node.values if isinstance(node, ast.JoinedStr) else []
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        parts = [node.left, node.right]
    made = [_made(module, part) for part in parts]
    return None if not made or None in made else "".join(part for part in made if part is not None)


def _shape(node: ast.expr) -> str:
    """The words that are known of a text whose other parts are not."""
    if isinstance(node, ast.Constant):
        return str(node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(_shape(part) for part in node.values)
    if isinstance(node, ast.BinOp):
        return _shape(node.left) + _shape(node.right)
    return "{}"
