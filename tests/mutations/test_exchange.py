"""One absurd value in each market: it fails by name, or the value is harmless, and the next honest run mends all.

The sample is of each kind of object a few fields with a few values; the long mode takes thousands of them.
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from random import Random
from typing import Any

import pytest

from kalshi_ingest.domain.coverage.cases import Scope
from kalshi_ingest.domain.coverage.findings import Level
from kalshi_ingest.exchange.client import RetryPolicy
from kalshi_ingest.jobs.backfill import Backfill
from kalshi_ingest.jobs.coverage.examine import examine
from kalshi_ingest.jobs.progress import Wanted
from kalshi_ingest.simulator import Simulator, SyntheticWorld, WorldConfig
from kalshi_ingest.store.audit import Scope as AuditScope
from tests import postgres
from tests.jobs.archives import exported
from tests.jobs.dumps import PROOF, digests
from tests.jobs.harness import Run, fetch
from tests.jobs.test_audit import audited
from tests.mutations.lies import FIELDS, Liar, Lie
from tests.mutations.relay import Relay, relaying
from tests.mutations.values import ALL, MISSING, NO_JSON, endless

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

    async def lied_to(self, lies: Sequence[Lie]) -> Backfill:
        """A run against these lies. Nothing may end it but its own end."""
        liar = self.relay.spoil = Liar(list(lies))
        try:
            job = await self.run()
            await audited(self.url, self.database_url, 5, scope=AuditScope(tuple(self.series)), retry=PATIENT)
        finally:
            self.relay.spoil = None
        assert liar.told, "nothing was spoilt"
        return job

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

    async def no_false_claim(self, job: Backfill, lies: Sequence[Lie]) -> None:
        """Each market whose trades are not those of the exchange is named, and no other has failed."""
        failed = {what: reason for progress in job.progress.values() for what, reason in progress.failed.items()}
        rows = await fetch(self.database_url, "select ticker, state, verdict, trades_stored from checkpoints")
        held = {row[0]: (row[1], row[2], row[3]) for row in rows}
        lied = {lie.name: lie for lie in lies}
        for ticker in self.world.market_tickers():
            state, verdict, trades = held.get(ticker, ("", None, 0))
            if (state, verdict) == ("complete", "exact"):
                assert trades == self.world.trade_count(ticker), lied.get(ticker)
            elif ticker not in failed:
                # Not claimed. Then something about it, its event or its series is said.
                about = (ticker, ticker.rpartition("-")[0], ticker.partition("-")[0])
                said = [*failed, *failed.values(), *(w for p in job.progress.values() for w in p.warnings)]
                assert any(name in each for each in said for name in about) or ticker in lied, (ticker, state, verdict)
        if all(lie.kind in ("trade", "trades page", "candle", "candles page") for lie in lies):
            assert set(failed) <= lied.keys(), failed


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
    """One lie about each market, event or series of a world."""
    names = {
        "event": [event.ticker for event in world.events(None)],
        "series": sorted({event.series_ticker for event in world.events(None)}),
    }
    lies: list[Lie] = []
    fields = {kind: endless(random, FIELDS[kind]) for kind in kinds}
    wrong = endless(random, values)
    taken = names.get(kinds[0], sorted(world.market_tickers()))
    for place, name in enumerate(random.sample(taken, len(taken))):
        kind = kinds[place % len(kinds)]
        lie = Lie(kind, name, next(fields[kind]), next(wrong), random.randrange(6))
        while harmless(lie):
            lie = Lie(kind, name, lie.field, next(wrong), lie.place)
        lies.append(lie)
    return lies


_NOTHING_HELD = "truncate trades, candles, checkpoints, markets, events, listings, series, ingestion_log"


async def batch(on: Stage, lies: Sequence[Lie], folder: Path) -> int:
    """Lies, a look at what is held, then the truth; how many lies were told."""
    await fetch(on.database_url, _NOTHING_HELD)
    job = await on.lied_to(lies)
    await on.no_false_claim(job, lies)
    await on.looked_at(folder)
    await on.mended(folder, lies)
    return len(lies)


MARKETS, EVENTS, SERIES = ("trade", "market", "trades page", "candle"), ("event",), ("series",)


async def test_a_sample_of_absurd_values(postgres_url: str, template_database: str, tmp_path: Path) -> None:
    world, random = world_of(4, CITIES[:2]), Random(1)
    async with stage(world, postgres_url, template_database) as on:
        told = await batch(on, lies_of(world, MARKETS, random), tmp_path)
        told += await batch(on, lies_of(world, EVENTS, random), tmp_path)
        told += await batch(on, lies_of(world, SERIES, random), tmp_path)
    assert told >= 58


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
async def test_thousands_of_absurd_values(seed: int, postgres_url: str, template_database: str, tmp_path: Path) -> None:
    world, random = world_of(8, CITIES), Random(f"lies {seed}")
    async with stage(world, postgres_url, template_database) as on:
        told = await batch(on, lies_of(world, MARKETS, random), tmp_path)
        told += await batch(on, lies_of(world, ("trade",), random, NO_JSON), tmp_path)
        told += await batch(on, lies_of(world, EVENTS, random), tmp_path)
        for _ in range(4):
            told += await batch(on, lies_of(world, SERIES, random), tmp_path)
    assert told >= 600
