"""A backfill in a storm: killed again and again while the exchange answers wrongly and the database dies with it."""

import signal
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Self

import asyncpg

from kalshi_ingest.postgres.migrate import migrate, migrations_dir
from kalshi_simulator import Faults, Simulator, SyntheticWorld
from tests.support import postgres
from tests.support.backfills import Run, assert_holds_all, log_statuses, varied_world
from tests.support.dumps import PROOF, digests
from tests.support.killable import KillableRun
from tests.support.killing import Killer
from tests.support.mortals import DatabaseServer

_FIRST_CUTOFF = datetime(2024, 10, 21, tzinfo=UTC)
_LAST_CUTOFF = datetime(2024, 10, 28, tzinfo=UTC)
_WRONG_ONCE = (
    "duplicate_seam",
    "empty_page_with_cursor",
    "forever_500",
    "html_200",
    "truncated_json",
    "unknown_extra_field",
)
"""What the trades of some markets show once per run, besides the random faults of every request.

A page cut short is not among them: shown in two runs it is what the exchange says, and accepted with a warning.
"""

_KEEP_THE_TRUTH = """
create schema truth;
create table truth.trades as table trades;
create table truth.candles as table candles;
create table truth.checkpoints as table checkpoints;
truncate series, events, markets, trades, candles, checkpoints, listings, ingestion_log
"""
_FALSEHOODS = {
    "trades that the exchange never had": "select * from trades except all select * from truth.trades",
    "candles that the stored trades do not make": """
        select candles.* from candles
        left join (
            select ticker, period_minutes, date_bin(make_interval(mins => period_minutes), created_time, 'epoch')
                    as period_start,
                sum(count) as contracts, count(*) as number
            from trades cross join (values (1), (5)) as lengths (period_minutes)
            group by 1, 2, 3
        ) as made using (ticker, period_minutes, period_start)
        where (volume, num_trades) is distinct from (contracts, number)
    """,
    "checkpoints that do not count what is stored": """
        select ticker, state, trades_stored, contracts_stored from checkpoints
        left join (select ticker, count(*) as held, sum(count) as contracts from trades group by ticker) as made
            using (ticker)
        where (trades_stored, contracts_stored) is distinct from (coalesce(held, 0), coalesce(contracts, 0))
    """,
    "complete markets that are not": """
        select ticker, verdict, trades_stored from checkpoints where state = 'complete'
        except all select ticker, verdict, trades_stored from truth.checkpoints
    """,
    "candles missing from complete markets, or wrong there": """
        select truth.* from truth.candles truth join checkpoints using (ticker) where state = 'complete'
        except all select * from candles
    """,
}
"""What may never be found, whenever one looks: by name, the query that looks for it."""


@dataclass(frozen=True, slots=True)
class Storm:
    """A server with a database whose schema `truth` holds what an undisturbed run of `world` stores."""

    server: DatabaseServer
    world: SyntheticWorld
    template: str
    unbroken: dict[str, str]

    @classmethod
    async def prepare(cls, server: DatabaseServer) -> Self:
        """Run once undisturbed, hold the tables against the world, and keep them as the truth."""
        world, template = varied_world(cutoff=_LAST_CUTOFF, trades_per_market=150.0), "storm_template"
        url = await server.database(template)
        connection = await asyncpg.connect(url)
        try:
            await migrate(connection, migrations_dir())
            async with Simulator(world) as simulator:
                await Run(simulator.url, url)()
            await assert_holds_all(url, world)
            unbroken = await digests(url, checkpoints=PROOF)
            await connection.execute(_KEEP_THE_TRUTH)
        finally:
            await connection.close()
        return cls(server, world, template, unbroken)

    async def blow(self, backfills: KillableRun, kills: int, random: Random) -> None:
        """Kill `kills` runs, on as many databases as it takes: each ends with the tables of the undisturbed run."""
        while kills > 0:
            async with postgres.fresh_database(self.server.url, self.template) as url:
                self.world.cutoff = _FIRST_CUTOFF
                kills -= await self._blow_on(url, backfills, kills, random)
                self.world.cutoff = _LAST_CUTOFF
                async with Simulator(self.world) as simulator:
                    job = await Run(simulator.url, url)()
                assert job.progress["KXHIGHCHI"].failed == {}
                assert await digests(url, checkpoints=PROOF) == self.unbroken
                assert await self.falsehoods(url) == {}
                assert set(await log_statuses(url)) <= {"interrupted", "partial", "success"}

    async def _blow_on(self, url: str, backfills: KillableRun, kills: int, random: Random) -> int:
        """Kill runs on one database until one is through, or for `kills` times: how many were killed."""
        killer = Killer(self.world, backfills, url, random, reach=20, faults=lambda: self._faults(random))
        for killed in range(kills):
            code = await killer.run(kill=True)
            if code != -signal.SIGKILL:
                assert code == 0
                return killed
            if killed % 3 == 2:
                self.server.stop_immediately()
                await self.server.start_again()
            found = await self.falsehoods(url)
            assert not found, f"after kill {killed + 1}: {found}"
        return kills

    def _faults(self, random: Random) -> Faults:
        """The faults of the next run; the border between the tiers has moved by then."""
        self.world.cutoff = min(self.world.cutoff + timedelta(hours=random.uniform(0, 24)), _LAST_CUTOFF)
        markets = random.sample(sorted(self.world.market_tickers()), 8)
        return Faults(
            seed=random.randrange(1_000_000),
            error_rate=0.12,
            targeted={ticker: random.choice(_WRONG_ONCE) for ticker in markets},
            times=1,
            slow_body_seconds=0.02,
        )

    async def falsehoods(self, url: str) -> dict[str, list[asyncpg.Record]]:
        """Rows that should not be there, by what is wrong with them."""
        connection = await asyncpg.connect(url)
        try:
            found = {name: await connection.fetch(f"{query} limit 5") for name, query in _FALSEHOODS.items()}
        finally:
            await connection.close()
        return {name: rows for name, rows in found.items() if rows}
