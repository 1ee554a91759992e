"""One absurd value in each market: it fails by name, or the value is harmless, and the next honest run mends all.

The sample is of each kind of object a few fields with a few values; the long mode takes thousands of them.
"""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kalshi_ingest.backfill.job import Backfill
from kalshi_ingest.coverage.candle_audit_report import AuditReport
from kalshi_ingest.coverage.job import examine
from kalshi_ingest.coverage.queries.candle_audit import Scope as AuditScope
from kalshi_ingest.coverage.rules.cases import Scope
from kalshi_ingest.coverage.rules.findings import Level
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.ingest.progress import SeriesProgress, Wanted
from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from tests.coverage.test_candle_audit import audited
from tests.mutations.lies import FIELDS, Liar, Lie
from tests.mutations.values import ALL, MISSING, NO_JSON, endless
from tests.support import postgres
from tests.support.archives import exported
from tests.support.backfills import Run, fetch
from tests.support.dumps import PROOF, digests
from tests.support.relay import Relay, relaying

CITIES = ("KXHIGHCHI", "KXHIGHMIA", "KXHIGHAUS", "KXHIGHLAX", "KXHIGHDEN", "KXHIGHPHIL")
PATIENT = RetryPolicy(attempts=3, first_delay=0.001, longest_delay=0.01, read_timeout=60, total_timeout=120)


@dataclass
class Stage:
    """An exchange behind a relay that may lie, a database, and what an undisturbed run makes of the exchange."""

    world: SyntheticWorld
    relay: Relay
    url: str
    database_url: str
    truth: dict[str, str]

    @property
    def series(self) -> list[str]:
        return sorted({event.series_ticker for event in self.world.events(None)})

    async def run(self) -> Backfill:
        wanted = [Wanted(series, None) for series in self.series]
        return await Run(self.url, self.database_url, wanted, retry=PATIENT, workers=8)()

    async def lied_to(self, lies: Sequence[Lie]) -> Counter[str]:
        """A run and an audit of all markets against these lies, which nothing ends early: how many of each kind were
        told."""
        liar = self.relay.spoil = Liar(list(lies))
        try:
            job = await self.run()
            report = await audited(
                self.url, self.database_url, 10_000, scope=AuditScope(tuple(self.series)), retry=PATIENT
            )
        finally:
            self.relay.spoil = None
        await self.only_what_is_lied_about_fails(job, lies)
        self.only_candles_lied_about_differ(report, [lie for lie in liar.told if lie.kind.startswith("candle")])
        return Counter(lie.kind for lie in liar.told)

    async def looked_at(self, folder: Path) -> list[str]:
        """Coverage and export can be had, whatever is held; the holes that coverage finds."""
        report = await examine(self.database_url, Scope(self.world.config.now, series=self.series))
        await exported(self.database_url, folder, labels=[])
        return [f"{hole.place}: {hole.text}" for hole in report.at(Level.HOLE)]

    async def mended(self, folder: Path, lies: Sequence[Lie]) -> None:
        """An honest run makes the tables what they would have been without any lie."""
        job = await self.run()
        failed = {series: progress.failed for series, progress in job.progress.items() if progress.failed}
        assert failed == {}, [str(lie) for lie in lies]
        held = await digests(self.database_url, checkpoints=PROOF)
        assert held == self.truth, await self._differing(held, lies)
        assert await self.looked_at(folder) == []

    async def _differing(self, held: dict[str, str], lies: Sequence[Lie]) -> str:
        tables = [table for table, digest in held.items() if digest != self.truth[table]]
        rows = await fetch(self.database_url, "select ticker, state, verdict, trades_stored from checkpoints")
        wrong = [tuple(row) for row in rows if row[3] != self.world.trade_count(row[0]) or row[2] != "exact"]
        names = {row[0] for row in wrong}
        told = [str(lie) for lie in lies if not wrong or lie.name in names]
        return f"{tables}: {wrong}: {told[:20]}"

    async def only_what_is_lied_about_fails(self, job: Backfill, lies: Sequence[Lie]) -> None:
        """A market is complete with all its trades, or something about it is false and it is named."""
        rows = await fetch(self.database_url, "select ticker, state, verdict, trades_stored from checkpoints")
        held = {row[0]: tuple(row[1:]) for row in rows}
        about = {lie.name: lie for lie in lies}
        tickers = sorted(self.world.market_tickers())
        for ticker in tickers:
            series, event = ticker.partition("-")[0], ticker.rpartition("-")[0]
            if held.get(ticker) != ("complete", "exact", self.world.trade_count(ticker)):
                lie = about.get(ticker) or about.get(series)
                assert lie is not None, f"{ticker}, about which nothing false was told: {held.get(ticker)}"
                assert _is_named(lie, job.progress[series], tickers), f"{lie}: {held.get(ticker)}: nothing is said"
            for name in {ticker, event, series} - about.keys():
                assert name not in job.progress[series].failed, job.progress[series].failed[name]

    def only_candles_lied_about_differ(self, report: AuditReport, told: Sequence[Lie]) -> None:
        """The others of all markets that are complete were compared, and are equal."""
        about = {lie.name: lie for lie in told}
        wrong = {ticker for ticker, _ in report.not_audited} | {ticker for ticker, _ in report.differences()}
        assert len(report.audited) + len(report.not_audited) == report.eligible
        assert wrong <= about.keys()
        missed = [str(lie) for ticker, lie in about.items() if ticker not in wrong and self._is_read(lie)]
        assert missed == []

    def _is_read(self, lie: Lie) -> bool:
        """Whether no value that is wrong for this field of a candle can do without notice."""
        if lie.field in ("volume", "volume_fp"):
            entry = self.world.entry(lie.name)
            assert entry is not None
            assert entry.settled is not None
            archived = entry.settled < self.world.cutoff.timestamp() * 1_000_000
            return lie.field == ("volume" if archived else "volume_fp")
        if lie.field == "price":  # a minute without trades has none
            return lie.value not in (None, MISSING, {})
        return lie.field not in ("open_interest_fp", "brand_new")


def _is_named(lie: Lie, progress: SeriesProgress, markets: Sequence[str]) -> bool:
    """Whether a run said of what it did not complete. A row that does not tell its market can only be counted."""
    if lie.name in progress.failed or any(lie.name in said for said in (*progress.failed.values(), *progress.warnings)):
        return True
    nameless = (lie.kind, lie.field) in (("market", ""), ("market", "ticker"))
    return nameless and any(name not in markets for name in progress.failed)


@asynccontextmanager
async def stage(world: SyntheticWorld, postgres_url: str, template: str) -> AsyncIterator[Stage]:
    async with Simulator(world) as simulator, relaying(simulator.url.removesuffix("/trade-api/v2")) as (relay, url):
        api_url = f"{url}/trade-api/v2"
        async with postgres.fresh_database(postgres_url, template) as clean:
            set_up = Stage(world, relay, api_url, clean, {})
            await set_up.run()
            set_up.truth = await digests(clean, checkpoints=PROOF)
        async with postgres.fresh_database(postgres_url, template) as held:
            set_up.database_url = held
            yield set_up


def world_of(days: int, cities: Sequence[str]) -> SyntheticWorld:
    return SyntheticWorld(
        WorldConfig(
            start=date(2025, 7, 1),
            end=date(2025, 7, days),
            now=datetime(2025, 7, 31, tzinfo=UTC),
            cutoff=datetime(2025, 7, 3, tzinfo=UTC),
            cities=tuple(cities),
            trades_per_market=6.0,
            oddities=False,
        )
    )


def harmless(lie: Lie) -> bool:
    """Whether the value says what an honest exchange may say: nobody could tell."""
    other_truth = {
        ("trade", "is_block_trade"): lie.value is True,
        ("trades page", "cursor"): lie.value in ("", None, MISSING)
        if not isinstance(lie.value, list | dict)
        else False,
    }
    return other_truth.get((lie.kind, lie.field), False)


def lies_of(world: SyntheticWorld, kinds: Sequence[str], random: Random, values: tuple[Any, ...] = ALL) -> list[Lie]:
    """One lie about each market, event or series of a world, but for an eighth, at least one, that stay honest."""
    names = {
        "event": [event.ticker for event in world.events(None)],
        "series": sorted({event.series_ticker for event in world.events(None)}),
    }
    lies: list[Lie] = []
    fields = {kind: endless(random, FIELDS[kind]) for kind in kinds}
    wrong = endless(random, values)
    taken = names.get(kinds[0], sorted(world.market_tickers()))
    for place, name in enumerate(random.sample(taken, len(taken) - max(1, len(taken) // 8))):
        kind = kinds[place % len(kinds)]
        lie = Lie(kind, name, next(fields[kind]), next(wrong), random.randrange(6))
        while harmless(lie):
            lie = Lie(kind, name, lie.field, next(wrong), lie.place)
        lies.append(lie)
    return lies


_NOTHING_HELD = "truncate trades, candles, checkpoints, markets, events, listings, series, ingestion_log"


async def batch(on: Stage, lies: Sequence[Lie], folder: Path) -> Counter[str]:
    """Lies, a look at what is held, then the truth; how many lies of each kind were told."""
    await fetch(on.database_url, _NOTHING_HELD)
    told = await on.lied_to(lies)
    await on.looked_at(folder)
    await on.mended(folder, lies)
    return told


MARKETS, EVENTS, SERIES = ("trade", "market", "trades page", "candle", "candles page"), ("event",), ("series",)


async def test_a_sample_of_absurd_values(postgres_url: str, template_database: str, tmp_path: Path) -> None:
    world, random = world_of(4, CITIES[:2]), Random(1)
    async with stage(world, postgres_url, template_database) as on:
        told = await batch(on, lies_of(world, MARKETS, random), tmp_path)
        told += await batch(on, lies_of(world, EVENTS, random), tmp_path)
        told += await batch(on, lies_of(world, SERIES, random), tmp_path)
    assert min(told[kind] for kind in (*MARKETS, *EVENTS)) >= 6
    assert told["series"] == 1


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
async def test_thousands_of_absurd_values(seed: int, postgres_url: str, template_database: str, tmp_path: Path) -> None:
    """With all six seeds more than 3,000."""
    world, random = world_of(8, CITIES), Random(f"lies {seed}")
    async with stage(world, postgres_url, template_database) as on:
        told = await batch(on, lies_of(world, MARKETS, random), tmp_path)
        told += await batch(on, lies_of(world, ("trade",), random, NO_JSON), tmp_path)
        told += await batch(on, lies_of(world, EVENTS, random), tmp_path)
        for _ in range(4):
            told += await batch(on, lies_of(world, SERIES, random), tmp_path)
    assert min(told[kind] for kind in (*MARKETS, *EVENTS)) >= 40
    assert (told["series"], told.total() >= 500) == (20, True), told
