"""The examples run as their page shows them, on a small world."""

import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from kalshi_ingest.parquet.manifest import Layout
from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from tests.cli.test_cli import healthy, run
from tests.support import postgres
from tests.support.archives import exported

ROOT = Path(__file__).resolve().parents[1]
START, END = date(2025, 11, 12), date(2025, 11, 13)
_NAME = "kalshi_examples_template"


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def filled(postgres_url: str, template_database: str) -> str:
    """A database with two days of two cities."""
    world = SyntheticWorld(WorldConfig(start=START, end=END, now=datetime(2026, 1, 20, tzinfo=UTC)))
    await postgres.execute(postgres_url, f"CREATE DATABASE {_NAME} TEMPLATE {template_database}")
    url = postgres.with_database(postgres_url, _NAME)
    dates = ("--start", str(START), "--end", str(END))
    async with Simulator(world) as simulator:
        made = await run("backfill", *dates, "--city", "chicago", "--city", "denver", **healthy(simulator, url))
    assert made.code == 0, made.err
    return url


def _printed(name: str, folder: Path) -> str:
    """What an example prints about an archive."""
    command = [sys.executable, str(ROOT / "examples" / name), str(folder)]
    return subprocess.run(command, capture_output=True, check=True, timeout=120, text=True).stdout


async def test_sql(filled: str) -> None:
    path = str(ROOT / "examples/hour_before_the_close.sql")
    printed = await run("database", "psql", "-f", path, DATABASE_URL=filled)
    assert printed.code == 0, printed.err
    assert printed.out.count(f"{END}") == 12
    assert "(12 rows)" in printed.out
    assert sum("| yes" in line for line in printed.out.splitlines()) == 2


@pytest.mark.parametrize(
    ("module", "name", "layout"),
    [("duckdb", "how_often_prices_were_right.py", "cities"), ("polars", "busiest_days.py", "dataset")],
)
async def test_python(filled: str, tmp_path: Path, module: str, name: str, layout: Layout) -> None:
    pytest.importorskip(module)
    await exported(filled, tmp_path / "archive", layout=layout)
    printed = _printed(name, tmp_path / "archive")
    assert "contracts" in printed
    if layout == "dataset":
        assert printed.count("chicago") == printed.count("denver") == 2
    else:
        assert all(f"{price / 10}" in printed for price in range(10))


def test_each_example_is_on_their_page_and_no_other() -> None:
    page = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    files = sorted(path.name for path in (ROOT / "examples").iterdir() if path.suffix in {".py", ".sql"})
    assert (
        sorted(line.split("](")[0].removeprefix("| [") for line in page.splitlines() if line.startswith("| [")) == files
    )
    assert all(page.count(f"examples/{name}") == 1 for name in files)
