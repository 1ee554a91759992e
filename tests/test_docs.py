"""Settings and their documents stay together."""

import re
from pathlib import Path

import pytest

from kalshi_ingest.configuration import load_settings
from kalshi_ingest.settings import PREFIX, Settings

ROOT = Path(__file__).resolve().parents[1]
NAMES = [PREFIX + field.upper() for field in Settings.model_fields]
EXAMPLE = (ROOT / ".env.example").read_text(encoding="utf-8")

SETTINGS_PAGE = (ROOT / "docs/settings.md").read_text(encoding="utf-8")


def test_the_example_file_has_each_setting_once_and_no_other() -> None:
    assert sorted(re.findall(r"^# (KALSHI_INGEST_\w+)=.", EXAMPLE, re.MULTILINE)) == sorted(NAMES)


def test_the_example_file_changes_nothing_until_it_is_edited() -> None:
    assert all(line.startswith("#") or not line.strip() for line in EXAMPLE.splitlines())


def test_the_example_values_are_valid(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(re.sub(r"^# (?=KALSHI_INGEST_)", "", EXAMPLE, flags=re.MULTILINE), encoding="utf-8")
    settings = load_settings({})
    assert settings.workers == 8
    assert settings.api_url == Settings.model_fields["api_url"].default


def test_each_setting_is_described() -> None:
    for name, field in Settings.model_fields.items():
        assert field.description, name
        assert "Default: " in field.description, name


@pytest.mark.parametrize("name", NAMES)
def test_each_setting_has_its_row(name: str) -> None:
    assert f"| `{name}` |" in SETTINGS_PAGE


def test_the_page_of_settings_has_no_other_row() -> None:
    assert sorted(re.findall(r"^\| `(KALSHI_INGEST_\w+)` \|", SETTINGS_PAGE, re.MULTILINE)) == sorted(NAMES)
    assert "(docs/settings.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


DOCUMENTS = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), ROOT / "examples/README.md"]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_link_within_the_repository_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", _prose(path)):
        name, _, anchor = link.partition("#")
        target = path.parent / name if name else path
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


def _prose(path: Path) -> str:
    """A document without its blocks of code."""
    return re.sub(r"^```.*?^```$", "", path.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def _anchors(path: Path) -> set[str]:
    """Of its headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.+)$", _prose(path), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_no_row_of_a_table_stands_alone(path: Path) -> None:
    """A blank line ends a table; what follows it shows as bare text."""
    tables = re.findall(r"(?:^\|.*\n)+", _prose(path), re.MULTILINE)
    assert [table for table in tables if not re.match(r"\|.*\n\|[-:| ]+\|\n", table)] == []


def test_the_index_of_the_decisions_lists_each_of_them_in_their_order() -> None:
    """A new decision is a heading `## Title`, below it its date, and a line in the index at the top."""
    path = ROOT / "docs/decisions.md"
    text = _prose(path)
    assert re.findall(r"^\*\*\d{4}-.*", text, re.MULTILINE) == [], "give each decision a heading: ## Title"
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    index = re.findall(r"^\* \[(.+)\]\(#.+\)$", text, re.MULTILINE)
    assert index == titles, "list each decision in the index at the top"
    assert len(re.findall(r"^\*\d{4}-\d\d-\d\d\* · ", text, re.MULTILINE)) == len(titles), "begin with *date* ·"


def test_the_readme_and_the_page_of_the_words_know_each_other() -> None:
    assert "(docs/glossary.md)" in (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "name", ["ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "docs/benchmarks.md", "docs/decisions.md"]
)
def test_every_path_and_target_that_a_page_names_exists(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    folders = r"kalshi_ingest|kalshi_simulator|tests|migrations|benchmarks|docs|deploy"
    for path in re.findall(rf"(?<![\w/])((?:{folders})/[\w./-]*)", text):
        assert (ROOT / path.rstrip(".")).exists(), path
    for module in re.findall(r"`([\w*]+/[\w*/]+\.py)`", text):
        assert any(ROOT.glob(module)) or any((ROOT / "kalshi_ingest").glob(module)), module
    targets = re.findall(r"^([a-z-]+):.*##", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert set(re.findall(r"`make ([\w-]+)`", text)) <= set(targets)


def test_each_job_has_its_command_in_the_page_for_contributors() -> None:
    named = re.findall(r"`make ([\w-]+)` \|", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert sorted(named) == ["bench", "check", "demo", "quick", "test", "test-long"]


def test_each_module_that_the_architecture_names_exists() -> None:
    """Modules are written as `room/module`; the lists are the way that data takes, so a renamed one has to follow."""
    text = _prose(ROOT / "ARCHITECTURE.md")
    named = re.findall(r"`((?:[a-z_]+/)+[a-z_0-9]+)`", text)
    rooms = {path.parent.name for path in (ROOT / "kalshi_ingest").glob("*/__init__.py")}
    assert len(named) > 60
    assert rooms <= set(re.findall(r"[a-z]+", (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")))
    for module in named:
        assert module.split("/")[0] in rooms, module
        path = ROOT / "kalshi_ingest" / module
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), module
