"""Every way to call the program that its first release understood: the same command, the same values."""

import shlex
from dataclasses import asdict
from typing import Any

import pytest

from kalshi_ingest import cli
from kalshi_ingest.cli.parse import parse

DATES = {"start": "2025-11-01", "end": "2025-11-14"}
MADE_UP = {"host": "127.0.0.1", "port": 8765, "seed": 1, "trades_per_market": 150.0, "limit": 20.0}
"""A simulated exchange, unless it is told otherwise."""
ROLES = {"owner": "kalshi_owner", "writer": "kalshi_writer", "reader": "kalshi_reader"}

OLD_NAMES = {"from_": "from", "folder": "input", "words": "passed_on"}
"""Of options whose name is no good one for a parameter."""

UNDERSTOOD: dict[str, tuple[str, dict[str, Any]]] = {
    "backfill --start 2025-11-01 --end 2025-11-14": ("backfill", DATES),
    "backfill --end=2025-11-14 --start=2025-11-01": ("backfill", DATES),
    "backfill --start 2025-11-02 --end 2025-11-14 --start 2025-11-01": ("backfill", DATES),
    "backfill --start 2025-11-01 --end 2025-11-14 --city chicago --city lax --series KXHIGHTBOS --parquet s3://b/c": (
        "backfill",
        DATES | {"city": ["chicago", "lax"], "series": ["KXHIGHTBOS"], "parquet": "s3://b/c"},
    ),
    "backfill --start 2025-11-01 --end 2025-11-14 --city 'los angeles' --workers 8 --requests-per-second 20": (
        "backfill",
        DATES | {"city": ["los angeles"], "workers": "8", "requests_per_second": "20"},
    ),
    "backfill --start 2025-11-01 --end 2025-11-14 --workers -1 --requests-per-second -1.5": (
        "backfill",
        DATES | {"workers": "-1", "requests_per_second": "-1.5"},
    ),
    "backfill --api-url http://127.0.0.1:8765/trade-api/v2 --start 2025-11-01 --end 2025-11-14": (
        "backfill",
        DATES | {"api_url": "http://127.0.0.1:8765/trade-api/v2"},
    ),
    "backfill --start yesterday --end 14.11.2025": ("backfill", {"start": "yesterday", "end": "14.11.2025"}),
    "backfill --start 2025-11-01 --end 2025-11-14 --api-key-id k --private-key-path ~/k.pem": (
        "backfill",
        DATES | {"api_key_id": "k", "private_key_path": "~/k.pem"},
    ),
    "follow": ("follow", {"weather": "settlement"}),
    "follow --weather none": ("follow", {"weather": "none"}),
    "follow --start 2025-11-01 --city denver --series KXHIGHTBOS --weather minutes --stale-after 7.5": (
        "follow",
        {"start": "2025-11-01", "city": ["denver"], "series": ["KXHIGHTBOS"], "weather": "minutes", "stale_after": 7.5},
    ),
    "follow --http-host localhost --http-port 0 --iem-url http://i --ncei-url http://n --visual-crossing-url v:1": (
        "follow",
        {
            "weather": "settlement",
            "http_host": "localhost",
            "http_port": "0",
            "iem_url": "http://i",
            "ncei_url": "http://n",
            "visual_crossing_url": "v:1",
        },
    ),
    "follow --visual-crossing-key abc --stale-after -1": (
        "follow",
        {"weather": "settlement", "visual_crossing_key": "abc", "stale_after": -1.0},
    ),
    "coverage": ("coverage", {}),
    "coverage --start 2025-11-01 --end 2025-11-14 --city la --series KXHIGHTBOS --json --html out.html": (
        "coverage",
        DATES | {"city": ["la"], "series": ["KXHIGHTBOS"], "json": True, "html": "out.html"},
    ),
    "coverage --fix --yes --candles 50 --seed 7": (
        "coverage",
        {"fix": True, "yes": True, "candles": 50, "seed": 7},
    ),
    "coverage --candles=-1": ("coverage", {"candles": -1}),
    "export --output archive": ("export", {"output": "archive", "layout": "cities"}),
    "export --output s3://bucket/a --layout dataset --city nyc --series KXHIGHTBOS": (
        "export",
        {"output": "s3://bucket/a", "layout": "dataset", "city": ["nyc"], "series": ["KXHIGHTBOS"]},
    ),
    "load --input archive --database-url postgresql://me:pw@h:5432/kalshi?sslmode=require": (
        "load",
        {"input": "archive", "database_url": "postgresql://me:pw@h:5432/kalshi?sslmode=require"},
    ),
    "load --input archive --city chicago --city miami --refresh-grid --database-schema k": (
        "load",
        {"input": "archive", "city": ["chicago", "miami"], "refresh_grid": True, "database_schema": "k"},
    ),
    "weather settlement": ("weather settlement", {}),
    "weather settlement --start 2025-11-01 --end 2025-11-14 --city chicago --json --again": (
        "weather settlement",
        DATES | {"city": ["chicago"], "json": True, "again": True},
    ),
    "weather minutes --dry-run --source iem": ("weather minutes", {"dry_run": True, "source": "iem"}),
    "weather minutes --source visualcrossing --city miami --again --json": (
        "weather minutes",
        {"source": "visualcrossing", "city": ["miami"], "again": True, "json": True},
    ),
    "weather grid": ("weather grid", {}),
    "weather grid --json": ("weather grid", {"json": True}),
    "weather grid --again": ("weather grid", {"again": True}),
    "weather --json grid": ("weather grid", {"json": True}),
    "weather --json --again minutes": ("weather minutes", {"json": True, "again": True}),
    "weather --start 2025-11-01 --city chicago settlement --end 2025-11-14": (
        "weather settlement",
        DATES | {"city": ["chicago"]},
    ),
    "status": ("status", {}),
    "status --json": ("status", {"json": True}),
    "status --runs --json": ("status", {"runs": True, "json": True}),
    "status --run 0badc0de": ("status", {"run": "0badc0de"}),
    "status --forget 0badc0de": ("status", {"forget": "0badc0de"}),
    "status --http-port 1 --log-format json --log-level debug": (
        "status",
        {"http_port": "1", "log_format": "json", "log_level": "debug"},
    ),
    "status --database-url postgresql://127.0.0.1:1/base": (
        "status",
        {"database_url": "postgresql://127.0.0.1:1/base"},
    ),
    "migrate": ("migrate", {}),
    "migrate --data-dir /tmp/x": ("migrate", {"data_dir": "/tmp/x"}),
    "database url": ("database url", {}),
    "database stop": ("database stop", {}),
    "database --data-dir d stop": ("database stop", {"data_dir": "d"}),
    "database grants": ("database grants", ROLES),
    "database grants --owner o --writer w --reader r": (
        "database grants",
        {"owner": "o", "writer": "w", "reader": "r"},
    ),
    "database psql": ("database psql", {}),
    "database psql -At -c 'select 6 * 7'": ("database psql", {"passed_on": ["-At", "-c", "select 6 * 7"]}),
    "database psql -q -v ON_ERROR_STOP=1 --version -f x.sql": (
        "database psql",
        {"passed_on": ["-q", "-v", "ON_ERROR_STOP=1", "--version", "-f", "x.sql"]},
    ),
    "database psql --csv --log-level error -c 'select 1'": (
        "database psql",
        {"log_level": "error", "passed_on": ["--csv", "-c", "select 1"]},
    ),
    "simulate": ("simulate", MADE_UP),
    "simulate --speed 60 --limit 50": ("simulate", MADE_UP | {"speed": 60.0, "limit": 50.0}),
    "simulate --archive archive --port 0 --host 0.0.0.0 --limit 0": (
        "simulate",
        MADE_UP | {"archive": "archive", "port": 0, "host": "0.0.0.0", "limit": 0.0},
    ),
    "simulate --start 2026-05-01 --end 2026-05-02 --from 2026-05-03T14:00:00Z --seed 3 --giant 5000 --plain": (
        "simulate",
        MADE_UP
        | {
            "start": "2026-05-01",
            "end": "2026-05-02",
            "from": "2026-05-03T14:00:00Z",
            "seed": 3,
            "giant": 5000,
            "plain": True,
        },
    ),
    "simulate --maintenance --public-key k.pem --cutoff 2026-05-01 --latency .1 --cache-seconds 15 --error-rate 0.01": (
        "simulate",
        MADE_UP
        | {
            "maintenance": True,
            "public_key": "k.pem",
            "cutoff": "2026-05-01",
            "latency": 0.1,
            "cache_seconds": 15.0,
            "error_rate": 0.01,
        },
    ),
    "simulate --trades-per-market 3000 --archive-age 30.5": (
        "simulate",
        MADE_UP | {"trades_per_market": 3000.0, "archive_age": 30.5},
    ),
    "demo": ("demo", {"days": 30}),
    "demo --days 3 --data-dir d": ("demo", {"days": 3, "data_dir": "d"}),
}
"""Words of the command line; the command; its values that are neither None, False, 0 nor empty."""

REFUSED = [
    "",
    "backfil",
    "backfill --end 2025-11-12",
    "backfill --start 2025-11-12 --end 2025-11-12 more",
    "backfill --start 2025-11-12 --end",
    "backfill --start 2025-11-12 --end 2025-11-12 --city --workers 2",
    "status --js",
    "status --no-json",
    "status --run",
    "status more",
    "follow --weather rain",
    "follow --stale-after soon",
    "coverage --candles many",
    "export",
    "export --output x --layout rows",
    "load",
    "weather",
    "weather rain",
    "weather grid minutes",
    "weather grid --source iem",
    "weather grid --dry-run",
    "weather grid --start 2025-11-12",
    "weather grid --end 2025-11-12",
    "weather grid --city chicago",
    "weather settlement --dry-run",
    "weather settlement --source iem",
    "weather minutes --source noaa",
    "database",
    "database start",
    "database url -c",
    "simulate --port many",
    "simulate --http-port 1",
    "simulate --http-host localhost",
    "demo --days few",
    "demo --days 0",
    "--log-level debug status",
]
"""Wrong usage, found before anything is opened."""


def understood(words: list[str]) -> tuple[str, dict[str, Any]]:
    """The command that these words call, and its values but for those that are None, False, 0 or empty."""
    bound = parse(words)
    values: dict[str, Any] = dict(bound.arguments)
    for name in ("asked", "options"):
        if name in values:
            values |= asdict(values.pop(name))
    lists = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
    return bound.command, {OLD_NAMES.get(name, name): value for name, value in lists.items() if value}


@pytest.mark.parametrize("line", UNDERSTOOD)
def test_what_was_understood_is_understood_as_before(line: str) -> None:
    command, values = UNDERSTOOD[line]
    assert understood(shlex.split(line)) == (command, {name: value for name, value in values.items() if value})


@pytest.mark.usefixtures("no_settings")
@pytest.mark.parametrize("line", REFUSED)
def test_what_was_refused_is_refused_with_2(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(shlex.split(line))
    told = capsys.readouterr()
    assert code == 2
    assert told.out == ""
    assert told.err.startswith("kalshi-ingest: ")
    assert len(told.err.splitlines()) == 1


@pytest.mark.parametrize("line", ["--help", "-h", "backfill --help", "weather -h", "database psql --help", "demo -h"])
def test_help_was_asked_for_and_is_no_error(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = cli.main(shlex.split(line))
    told = capsys.readouterr()
    assert code == 0
    assert told.out
    assert told.err == ""
