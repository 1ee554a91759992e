"""What people read is plain English: documents, help, messages and pages use none of the phrases listed here.

Each phrase stands beside the wording to use instead. A new one that makes a reader stumble belongs into the list.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

PHRASES = {
    r"\b(?:go|goes|went|gone|going) on\b": "resumes, continues",
    r"\banew\b": "again; `made anew`: rebuilt",
    r"\b(?:made|makes|make|making) (?:\w+ ){0,2}again\b": "rebuilt",
    r"\bvouch(?:es|ed|ing)?\b": "proves, confirms; `vouched for up to`: known to be complete up to",
    r"(?<!there )\b(?:is|are|was|were|be|been) no (?!longer\b|more\b|different\b|other\b)(?:[\w`]|$)": "is not a",
    r"\b(?:is|are|was|were|be|been|being) told\b": "receives, learns",
    r"(?<!cannot )\b(?:tell|tells|told|telling)\b": "says, shows, names, reports",
    r"\bwithout a word\b": "silently; without a message",
    r"\bwhoever\b": "the one who; anyone who",
    r"(?<!`)\b(?:nobody|somebody)\b": "no one, a person; or name who it is",
    r"\bheed(?:s|ed)?\b": "uses, respects",
    r"\bmend(?:s|ed|ing)?\b": "fixes, repairs",
    r"\bat the (?:most|least)\b": "at most, at least",
    r"\bin the mean\b": "on average",
    r"\b(?:buried|bury|breathes?|blotted|woven|weaves?)\b": "the technical term",
    r"\b(?:foresaw|foreseen)\b": "unexpected",
    r"\b(?:of no use|no good)\b": "useless; no longer valid",
    r"\bput down to\b": "attributed to",
    r"\bstory of\b": "history of; details of",
    r"\b(?:unwell|is ill)\b": "has problems",
    r"\basked (?:again|anew)\b": "requested again, repeated",
    r"\bof them again\b": "retries",
    r"\bsets the time of\b": "determines how long … takes",
    r"\bweighs? (?:more|less)\b": "takes precedence",
    r"\bin the place of\b": "instead of",
    r"\b(?:port|address|name) of the same\b": "its port",
    r"\breckon\b": "expect, estimate",
    r"\bcomes? again\b": "is repeated",
    r"\bwill do\b": "works, is enough",
    r"\b(?:tells|tell) against\b": "contradicts",
    r"\b(?:their|its) room is lost\b": "takes up memory",
    r"\bcannot be had\b|\bbe had again\b": "cannot be fetched",
    r"\bone after (?:the other|another)\b": "one by one",
    r"\bit says (?:yes|no)\b|\bsays (?:yes|no) (?:when|while|for)\b": "is ready, is not ready; answers 200, 503",
}
"""Phrases, as regular expressions that ignore case, and what to write instead."""

_SQL = re.compile(
    r"\s*(?:--[^\n]*\n\s*)*(?:select|with|insert|update|delete|create|alter|copy|set|drop|lock|declare|union|from|where)\b",
    re.IGNORECASE,
)
_TEMPLATE_COMMENT = re.compile(r"\{#.*?#\}", re.DOTALL)


def documents() -> list[Path]:
    """Every text for people that is not part of the program."""
    plain = [
        ROOT / name for name in (".env.example", "Dockerfile", "Makefile", "compose.yaml", ".pre-commit-config.yaml")
    ]
    deployed = [path for path in (ROOT / "deploy").rglob("*") if path.is_file()]
    examples = [path for path in (ROOT / "examples").iterdir() if path.is_file()]
    return [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *examples, *plain, *deployed]


def modules() -> list[Path]:
    """Every module and page of both packages."""
    folders = [ROOT / "kalshi_ingest", ROOT / "kalshi_simulator"]
    return sorted(path for folder in folders for kind in ("*.py", "*.jinja", "*.js") for path in folder.rglob(kind))


def shown(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of what a module or page can show: strings, but no docstrings, and of SQL only its own strings.

    The commands' docstrings count, since they are their help. A single word is a name and not a sentence. Comments of a
    template are not sent.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from enumerate(_TEMPLATE_COMMENT.sub("", text).splitlines(), 1)
        return
    tree = ast.parse(text)
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    if path.parent.name == "cli":
        docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            if " " not in node.value:
                continue
            if _SQL.match(node.value):
                yield from ((node.lineno, said) for said in re.findall(r"'((?:[^']|'')*)'", node.value))
            else:
                yield node.lineno, node.value


def found(text: str) -> list[str]:
    """The phrases of the list in this text, each with its better wording."""
    plain = re.sub(r"\s+", " ", text)
    return [
        f"…{plain[max(0, match.start() - 30) : match.end() + 30]}… → {better}"
        for phrase, better in PHRASES.items()
        for match in re.finditer(phrase, plain, re.IGNORECASE)
    ]


@pytest.mark.parametrize("path", documents(), ids=lambda path: str(path.relative_to(ROOT)))
def test_documents_are_plain(path: Path) -> None:
    assert found(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_the_program_shows_is_plain(path: Path) -> None:
    assert [f"line {line}: {phrase}" for line, text in shown(path) for phrase in found(text)] == []


@pytest.mark.parametrize(
    ("text", "is_found"),
    [
        ("'x' is no date: write YYYY-MM-DD", True),
        ("'x' is not a date", False),
        ("the run goes\non where it was", True),
        ("there is no archive at x", False),
        ("it is no longer there", False),
        ("Whoever reaches the port may look", True),
        ("agree, disagree, cannot tell", False),
    ],
)
def test_a_phrase_is_found_across_lines_and_only_where_it_is_one(text: str, is_found: bool) -> None:
    assert bool(found(text)) is is_found


def test_strings_are_read_and_docstrings_are_not(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text('"""Anew."""\nSQL = "select \'made anew\' from anew"\nraise E(f"x{1} vouched", "name")\n')
    assert [text for _, text in shown(path)] == ["made anew", " vouched"]


def test_templates_are_read_and_their_comments_are_not(tmp_path: Path) -> None:
    assert {"status.html.jinja", "coverage.html.jinja", "status.js"} <= {path.name for path in modules()}
    path = tmp_path / "page.html.jinja"
    path.write_text("{# Made anew. #}\n<p>Vouched for</p>\n")
    assert [text for _, text in shown(path) if found(text)] == ["<p>Vouched for</p>"]
