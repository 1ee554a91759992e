"""What is done with the program: each scene has a world and databases of its own."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.baseline.masks import COLUMNS
from benchmarks.baseline.programs import Program, simulating
from benchmarks.baseline.record import Record
from benchmarks.baseline.tables import settle
from benchmarks.bench_server import Server, copy_of, database, fetch_rows

_DAYS = ("--start", "2025-03-04", "--end", "2025-03-10")
"""With a change of the clocks, and with the first market that states its settlement value."""
_WORLD = (*_DAYS, "--from", "2025-04-20T12:00:00Z", "--archive-age", "45", "--seed", "7")
"""The cutoff lies within: both tiers hold markets."""
_SIZE = ("--trades-per-market", "25", "--giant", "2500")

_FASTEST = {"REQUESTS_PER_SECOND": "500", "LOG_FORMAT": "json"}

_BUSIEST = "(select ticker from checkpoints order by trades_stored desc, ticker limit 1)"
_LOSER = "(select ticker from markets where result = 'no' and city = 'denver' order by ticker limit 1)"
_CANDLE = "(select min(period_start) from candles where ticker like 'KXHIGHMIA-25MAR07-%' and period_minutes = 1)"
_DAMAGE = (
    f"delete from trades where ticker = {_BUSIEST} and trade_id = "
    f"(select trade_id from trades where ticker = {_BUSIEST} order by created_time, trade_id limit 1)",
    "delete from trades where ticker like 'KXHIGHCHI-25MAR05-%'",
    "delete from candles where ticker like 'KXHIGHCHI-25MAR05-%'",
    "delete from checkpoints where ticker like 'KXHIGHCHI-25MAR05-%'",
    "delete from markets where event_ticker = 'KXHIGHCHI-25MAR05'",
    "delete from events where event_ticker = 'KXHIGHCHI-25MAR05'",
    f"update candles set close = case when close = high then low - 0.000001 else high end "
    f"where ticker like 'KXHIGHMIA-25MAR07-%' and period_minutes = 1 and period_start = {_CANDLE}",
    f"update markets set status = 'closed', result = null where ticker = {_LOSER}",
    "delete from wx.settlement where loc_id = 'KMDW' and date_local = '2025-03-06'",
)


@dataclass(frozen=True, slots=True)
class Stage:
    """What every scene gets."""

    server: Server
    program: Program
    simulator: Path
    out: Path
    place: Path
    """A folder for what is not kept."""

    def record(self, scene: str, known: dict[str, str]) -> Record:
        """A scene's record."""
        return Record(self.program, self.out / scene, {str(self.place): "<folder>"} | known)


Scene = Callable[[Stage], Awaitable[None]]


async def past(stage: Stage) -> None:
    """Settled days: fetched, fetched again, judged, exported, loaded, damaged, mended."""
    async with simulating(stage.simulator, *_WORLD, *_SIZE) as source, database(stage.server) as url:
        settings = _FASTEST | {"DATABASE_URL": url, "API_URL": source.url}
        record = stage.record("past", {source.url: "<exchange>", source.url.partition("/trade")[0]: "<services>"})
        await record.run("migrate", "migrate", **settings)
        await record.definitions("schema", url)
        await record.run("migrate-again", "migrate", **settings)
        for name in ("backfill", "backfill-again"):
            await record.run(name, "backfill", *_DAYS, **settings)
            await record.tables(name, url)
        weather = ("--start", "2025-03-04", "--end", "2025-03-10", *source.weather)
        await record.run("minutes-planned", "weather", "minutes", "--dry-run", "--json", *weather, **settings)
        for hour, what in enumerate(("settlement", "settlement", "minutes", "minutes"), 13):
            await source.clock(now=f"2025-04-20T{hour}:00:00Z")  # `status --runs` sorts by it
            await record.run(what, "weather", what, *["--json"] * (hour % 2), *weather, **settings)
        await record.run("grid", "weather", "grid", "--json", **settings)
        await record.tables("weather", url)
        await _looks(stage, record, settings)
        await _archive(stage, record, url, settings)
        await _mended(record, url, settings)


async def _looks(stage: Stage, record: Record, settings: dict[str, str]) -> None:
    for name, words in {
        "status": ("status",),
        "status-json": ("status", "--json"),
        "runs": ("status", "--runs"),
        "runs-json": ("status", "--runs", "--json"),
        "coverage": ("coverage",),
        "coverage-json": ("coverage", "--json"),
        "coverage-of-more": ("coverage", "--json", "--start", "2025-03-01", "--end", "2025-03-12"),
        "candles-compared": ("coverage", "--json", "--candles", "6"),
    }.items():
        await record.run(name, *words, **settings)
    page = stage.place / "coverage.html"
    await record.run("coverage-html", "coverage", "--html", str(page), **settings)
    record.page("coverage-page", page.read_text())


async def _archive(stage: Stage, record: Record, url: str, settings: dict[str, str]) -> None:
    async with copy_of(stage.server, url) as settled:
        await settle(settled, COLUMNS)
        for layout in ("cities", "dataset"):
            output = stage.place / layout
            words = ("export", "--output", str(output), "--layout", layout)
            await record.run(f"export-{layout}", *words, **settings | {"DATABASE_URL": settled})
            record.files(f"files-{layout}", output)
        load = ("load", "--input", str(stage.place / "cities"))
        await record.run("load-over-held", *load, **settings | {"DATABASE_URL": settled})
        async with database(stage.server) as empty:
            held = settings | {"DATABASE_URL": empty}
            await record.run("load-a-city", *load, "--city", "miami", **held)
            await record.run("load", *load, "--refresh-grid", **held)
            await record.tables("loaded", empty)
            await record.run("coverage-of-loaded", "coverage", "--json", **held)
            await record.run("load-dataset", "load", "--input", str(stage.place / "dataset"), **held)
            await record.tables("loaded-again", empty)
        async with copy_of(stage.server, url) as damaged:
            await _damage(damaged)
            held = settings | {"DATABASE_URL": damaged}
            await record.run("load-over-damaged", *load, **held)
            await record.tables("loaded-over-damaged", damaged)


async def _mended(record: Record, url: str, settings: dict[str, str]) -> None:
    await record.tables("whole", url)
    await _damage(url)
    await record.run("damaged", "coverage", **settings)
    await record.run("damaged-json", "coverage", "--json", **settings)
    await record.run("fix", "coverage", "--fix", "--yes", **settings)
    await record.tables("fixed", url)
    await record.run("fixed", "coverage", "--json", **settings)


async def _damage(url: str) -> None:
    for statement in _DAMAGE:
        await fetch_rows(url, statement)


async def present(stage: Stage) -> None:
    """Days that still trade: what is not settled stays open, and is fetched to its end later."""
    days = ("--start", "2025-07-01", "--end", "2025-07-05")
    words = (*days, "--from", "2025-07-04T18:30:00Z", "--archive-age", "2", "--trades-per-market", "30", "--seed", "3")
    chosen = ("--city", "la", "--city", "chicago")
    async with simulating(stage.simulator, *words) as source, database(stage.server) as url:
        settings = _FASTEST | {"DATABASE_URL": url, "API_URL": source.url}
        record = stage.record("present", {source.url: "<exchange>"})
        for moment in ("2025-07-04T18:30:00+00:00", "2025-07-04T23:10:00+00:00", "2025-07-08T00:00:00+00:00"):
            await source.clock(now=moment)
            archive = stage.place / "present" / moment[:13]
            await record.run("backfill", "backfill", *days, *chosen, "--parquet", str(archive), **settings)
            await record.tables("held", url)
            await record.run("status", "status", "--json", **settings)
            await record.run("coverage", "coverage", "--json", *chosen, **settings)


async def mistakes(stage: Stage) -> None:
    """Wrong usage, and what is out of reach: exit codes."""
    async with simulating(stage.simulator, *_WORLD, *_SIZE) as source, database(stage.server) as url:
        settings = _FASTEST | {"DATABASE_URL": url, "API_URL": source.url}
        record = stage.record("mistakes", {source.url: "<exchange>"})
        wrong: Sequence[Sequence[str]] = (
            ("backfill", *_DAYS, "--city", "atlantis"),
            ("backfill", *_DAYS, "--city", "nyc"),
            ("backfill", "--start", "2025-03-10", "--end", "2025-03-04"),
            ("backfill", "--start", "4.3.2025", "--end", "2025-03-10"),
            ("backfill", *_DAYS, "--series", "KXNOSUCH"),
            ("backfill", *_DAYS, "--workers", "0"),
            ("coverage", "--json"),
            ("coverage", "--candles", "-1"),
            ("status", "--run", "ffff"),
            ("export", "--output", str(stage.place / "nothing")),
            ("load", "--input", str(stage.place / "nowhere")),
            ("weather", "settlement", "--start", "2025-03-10", "--end", "2025-03-04"),
            ("weather", "minutes", "--source", "visualcrossing"),
            ("follow", "--city", "nyc"),
            ("nonsense",),
        )
        for words in wrong:
            await record.run(words[0], *words, **settings)
        await record.run("no-database", "status", **settings | {"DATABASE_URL": "postgresql://u@127.0.0.1:9/x"})
