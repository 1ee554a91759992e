"""What keeps the tree readable: short files, each with a docstring that says what it holds."""

import ast
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULES = sorted(
    path.relative_to(ROOT)
    for package in ("kalshi_ingest", "kalshi_simulator")
    for path in (ROOT / package).rglob("*.py")
)
LONGEST = 300
TEXTS = {module: (ROOT / module).read_text() for module in MODULES}


def test_a_module_is_short() -> None:
    assert [str(module) for module, text in TEXTS.items() if len(text.splitlines()) > LONGEST] == []


def test_a_module_says_what_it_holds() -> None:
    assert [str(module) for module, text in TEXTS.items() if text and not ast.get_docstring(ast.parse(text))] == []


def test_no_module_opens_an_escape_hatch() -> None:
    """Strict types mean something only without exceptions."""
    words = ("type: ignore", "pragma: no cover", "mypy: ")
    assert [f"{module}: {word}" for module, text in TEXTS.items() for word in words if word in text] == []


def test_only_the_rooms_that_need_aiohttp_use_it_and_each_its_own_half() -> None:
    """Requests are sent in `http`, the WebSocket is kept in `exchange`, and `web` alone serves."""
    serving, asking, requests = set[str](), set[str](), set[str]()
    for module, text in TEXTS.items():
        if module.parts[0] != "kalshi_ingest" or "aiohttp" not in text:
            continue
        room = module.parts[1]
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.ImportFrom) and node.module == "aiohttp":
                assert {each.name for each in node.names} <= {"web", "hdrs"}, f"{module}: write aiohttp.NAME"
                serving.add(room)
            elif isinstance(node, ast.Import) and any(each.name.partition(".")[0] == "aiohttp" for each in node.names):
                asking.add(room)
            elif isinstance(node, ast.Attribute) and node.attr in {"TCPConnector", "ClientTimeout"}:
                requests.add(room)
    assert (serving, asking, requests) == ({"web"}, {"http", "exchange"}, {"http"})
