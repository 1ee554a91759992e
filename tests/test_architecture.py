"""What keeps the tree readable: short files, each with a docstring that says what it holds."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(path.relative_to(ROOT) for path in (ROOT / "kalshi_ingest").rglob("*.py"))
LONGEST = 300


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_module_is_short_and_says_what_it_holds(module: Path) -> None:
    text = (ROOT / module).read_text()
    assert len(text.splitlines()) <= LONGEST
    assert not text or ast.get_docstring(ast.parse(text))


def test_no_module_opens_an_escape_hatch() -> None:
    """Strict types mean something only without exceptions."""
    words = ("type: ignore", "pragma: no cover", "mypy: ")
    held = [f"{module}: {word}" for module in MODULES for word in words if word in (ROOT / module).read_text()]
    assert held == []
