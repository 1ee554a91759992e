"""Options that commands share: lists, the log level's short names, completion, version."""

import json
import logging
import re
import shlex
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import structlog
from rich.console import Console

from kalshi_ingest import cli
from kalshi_ingest.cli.app import program
from kalshi_ingest.cli.backfill import Options
from kalshi_ingest.cli.parse import parse
from kalshi_ingest.errors import Unusable
from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from kalshi_simulator.command import default_addresses
from tests.cli.test_cli import run

pytestmark = pytest.mark.usefixtures("no_settings")

DATES = ("--start", "2025-11-01", "--end", "2025-11-14")


def test_cities_and_series_are_repeated_or_separated_by_commas() -> None:
    told = parse(["backfill", *DATES, "--city", "chicago, miami", "--city", "la", "--series=KXA,KXB"]).arguments[
        "options"
    ]
    assert isinstance(told, Options)
    assert told.city == ("chicago", "miami", "la")
    assert told.series == ("KXA", "KXB")


def test_a_comma_too_many_is_no_city(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["coverage", "--city", "chicago,"]) == 2
    assert capsys.readouterr().err.startswith("kalshi-ingest: ")


@pytest.mark.parametrize("words", [["-q"], ["--quiet"], ["-v"], ["--verbose"]])
def test_the_log_level_has_short_names(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["database", "grants", *words]) == 0
    assert "create role" in capsys.readouterr().out
    assert structlog.get_logger().is_enabled_for(logging.ERROR)
    assert structlog.get_logger().is_enabled_for(logging.DEBUG) is ("-v" in words or "--verbose" in words)
    assert structlog.get_logger().is_enabled_for(logging.WARNING) is ("-v" in words or "--verbose" in words)


@pytest.mark.parametrize("words", [["-q", "-v"], ["-qv"], ["-q", "--log-level", "debug"], ["-v", "--log-level=info"]])
def test_two_log_levels_are_refused(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["database", "grants", *words]) == 2
    assert "leave" in capsys.readouterr().err


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--version"], ["weather", "grid", "--version"]):
        assert cli.main(words) == 0
        assert capsys.readouterr().out.startswith("kalshi-ingest ")


def test_help_all_shows_also_what_a_command_does_not_use(capsys: pytest.CaptureFixture[str]) -> None:
    shown = []
    for word in ("--help", "--help-all"):
        assert cli.main(["weather", "grid", word]) == 0
        shown.append(capsys.readouterr().out)
    assert "--database-url" in shown[0]
    assert "--workers" not in shown[0]
    assert "--workers" in shown[1]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_commands_and_options(shell: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "script"
    assert cli.main(["--install-completion", "--shell", shell, "--output", str(path)]) == 0
    assert str(path) in capsys.readouterr().out
    script = path.read_text(encoding="utf-8")
    for word in ("backfill", "settlement", "refresh-grid", "database-url", "visualcrossing"):
        assert word in script
    if program := shutil.which(shell):
        subprocess.run([program, "-n", str(path)], check=True)


def test_completion_that_cannot_be_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--install-completion", "--shell", "bash", "--output", "/dev/null/x"]) == 2
    assert "cannot write /dev/null" in capsys.readouterr().err


def test_an_unknown_shell_is_a_clear_error() -> None:
    with pytest.raises(Unusable, match="--shell tcsh is not one of bash, zsh, fish"):
        parse(["--install-completion", "--shell", "tcsh"])


async def test_a_command_is_pointed_at_the_simulator() -> None:
    day = datetime(2026, 5, 1, tzinfo=UTC)
    async with Simulator(SyntheticWorld(WorldConfig(start=day.date(), end=day.date(), now=day))) as simulator:
        root = simulator.url.removesuffix("/trade-api/v2")
        there = [simulator.url, *simulator.weather_urls]
    assert [each.replace("http://127.0.0.1:8765", root) for each in default_addresses().values()] == there
    unreachable = ["--database-url", "postgresql://me@127.0.0.1:1/d"]
    for words in (["backfill", *DATES], ["weather", "settlement"], ["coverage"]):
        ended = await run(*words, "--simulator", *unreachable, API_URL="https://example.com/trade-api/v2")
        told = json.loads(ended.err.splitlines()[0])
        assert told["event"] == "simulator_used"
        assert told.items() >= default_addresses().items()


async def test_made_up_data_does_not_reach_a_configured_database() -> None:
    for words in (["backfill", *DATES], ["weather", "settlement"], ["coverage"]):
        ended = await run(*words, "--simulator", DATABASE_URL="postgresql://me:hunter2@127.0.0.1:1/d")
        assert (ended.code, ended.out) == (2, "")
        assert "name the one to write to with --database-url" in ended.err
        assert "hunter2" not in ended.err
        assert ended.err.count("\n") == 1


def test_options_may_stand_before_the_second_word_of_a_command() -> None:
    called = parse(["weather", "--simulator", "-v", "--city", "la", "minutes", "--dry-run"])
    assert called.command == "weather minutes"
    assert called.arguments["simulator"] is called.arguments["verbose"] is called.arguments["dry_run"] is True


def test_the_simulator_and_an_address_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["weather", "settlement", "--simulator", "--iem-url", "http://x"]) == 2
    assert "--simulator chooses --iem-url: leave one out" in capsys.readouterr().err
    assert cli.main(["status", "--simulator"]) == 2
    assert "--simulator is not an option of status" in capsys.readouterr().err


ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [path for folder in (".", "docs", "examples") for path in sorted((ROOT / folder).glob("*.md"))]
NAMES = [name for name in program(Console()) if not name.startswith("-")]


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_every_call_in_the_documents_is_understood(path: Path) -> None:
    end = r"\n`#|&>;"
    pattern = rf"kalshi-ingest ((?:{'|'.join(NAMES)})\b[^{end}…]*)[{end}]"
    for call in re.findall(pattern, path.read_text(encoding="utf-8")):
        assert parse(shlex.split(call)).command, call


@pytest.mark.parametrize("row", re.findall(r"^\| (`.+?) \| ", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE))
def test_every_option_in_the_table_of_commands_is_one(row: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in re.findall(r"`((?:weather |database )?[a-z]+)", row):
        assert cli.main([*command.split(), "--help"]) == 0
    told = capsys.readouterr().out
    for option in re.findall(r"--[a-z-]+", row):
        assert f"  {option}" in told, option
