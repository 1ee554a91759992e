"""Everything a run holds open, opened in order and closed again: HTTP session, pace, database connections."""

import gc
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import structlog

from kalshi_ingest.errors import IngestError, Permanent, Rejected, ServiceUnusable
from kalshi_ingest.exchange.api import Api
from kalshi_ingest.exchange.client import Client
from kalshi_ingest.exchange.signing import Signer
from kalshi_ingest.http.client import ANONYMOUS_REQUESTS_PER_SECOND, HttpSession, Pacer, Traffic, new_session
from kalshi_ingest.http.retry import RetryPolicy
from kalshi_ingest.http.server_clock import AGREEING, ServerClock
from kalshi_ingest.postgres import migrate
from kalshi_ingest.postgres.database import PATIENCE, Database
from kalshi_ingest.postgres.rights import FETCH, LOOK, Need

_FEWEST_WORKERS = 4
_MOST_WORKERS = 96
_ASKING_THE_TIME = RetryPolicy(attempts=2, first_delay=0.3, connect_timeout=3.0, read_timeout=5.0, total_timeout=6.0)
_SECONDS_PER_PAGE = 0.5
"""What a page may take, from its turn to its commit, without the budget being left unused."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Exchange:
    """How to reach the exchange. `requests_per_second` None: the account's own limit, or 5 without a key."""

    url: str
    key_id: str | None = None
    key_path: Path | None = None
    requests_per_second: float | None = None
    workers: int | None = None
    retry: RetryPolicy | None = None
    clock: ServerClock = field(default_factory=ServerClock, compare=False)
    """The time there, by all its answers so far."""
    traffic: Traffic = field(default_factory=Traffic, compare=False)
    """What the work itself sent there."""

    def pacer(self) -> Pacer:
        """Paced as far as it is known before the account is asked."""
        return Pacer(self.requests_per_second or ANONYMOUS_REQUESTS_PER_SECOND, traffic=self.traffic)


@dataclass(frozen=True, slots=True)
class RunContext:
    """What every job works with."""

    api: Api
    writing: Database
    """Holds the run's locks and takes the trades."""
    planning: Database
    """Takes series, events, markets and the log, so that a long list never holds up trades."""
    clock: Callable[[], datetime]
    workers: int


@dataclass(frozen=True, slots=True)
class Session:
    """What `open_resources` gives."""

    client: Client
    context: RunContext
    http: HttpSession
    signer: Signer | None
    """Of the account; None without a key."""


@asynccontextmanager
async def open_resources(
    exchange: Exchange,
    database_url: str,
    clock: Callable[[], datetime],
    patience: float = PATIENCE,
    need: Need = FETCH,
) -> AsyncIterator[Session]:
    """Open everything, bring the schema up to date and learn the pace.

    `patience`: seconds to wait for a database that goes away meanwhile. Raises `Unusable` for a wrong key, address or
    right (`ServiceUnusable` for what the exchange says of them), `OutOfReach` when there is no answer.
    """
    signer = None
    if exchange.key_id is not None and exchange.key_path is not None:
        signer = Signer(exchange.key_id, exchange.key_path)
    writing, planning = Database(database_url, patience=patience), Database(database_url, patience=patience)
    await writing.open()
    collecting = gc.get_threshold()
    try:
        # A page is thousands of objects without a cycle among them; looking for some after every 700 is a tenth of
        # the whole processor time.
        gc.set_threshold(50_000, 20, 100)
        await planning.open()
        await migrate_schema(database_url, patience)
        await writing.require_current(need)
        await planning.require_current()
        async with new_session(_MOST_WORKERS * 3) as http:
            await learn_time(http, exchange)
            pacer = exchange.pacer()
            client = Client(http, exchange.url, pacer, signer=signer, retry=exchange.retry, clock=exchange.clock)
            api = Api(client)
            if signer is not None:
                await _learn_budget(api, client, exchange)
            pace = client.pacer.requests_per_second
            workers = exchange.workers or workers_for(pace)
            log.info("resources_opened", requests_per_second=pace, workers=workers, signed=client.signed)
            yield Session(client, RunContext(api, writing, planning, clock, workers), http, signer)
    finally:
        gc.set_threshold(*collecting)
        await writing.close()
        await planning.close()


def workers_for(requests_per_second: float) -> int:
    """Enough workers that their pages' latency never leaves budget unused."""
    return max(_FEWEST_WORKERS, min(_MOST_WORKERS, math.ceil(requests_per_second * _SECONDS_PER_PAGE)))


async def learn_time(http: HttpSession, exchange: Exchange) -> None:
    """Ask the exchange what time it is there until its answers agree; unsigned, as a signature has to be of that time.

    Other faults of the exchange show at the first request of the work itself.
    """
    pacer = Pacer(ANONYMOUS_REQUESTS_PER_SECOND)
    client = Client(http, exchange.url, pacer, retry=_ASKING_THE_TIME, clock=exchange.clock)
    for _ in range(2 * AGREEING):
        if exchange.clock.agreed:
            return
        with suppress(IngestError):
            await Api(client).is_trading()
        if not exchange.clock.known:
            return


async def time_at(exchange: Exchange, clock: Callable[[], datetime]) -> datetime:
    """The time at the exchange, UTC; where it does not answer, what `clock` says."""
    async with new_session() as http:
        await learn_time(http, exchange)
    return exchange.clock() if exchange.clock.known else clock()


async def migrate_schema(database_url: str, patience: float = PATIENCE) -> list[str]:
    """Bring the schema up to date; the names of the migrations applied now."""
    database = Database(database_url, patience=patience)
    await database.open()
    try:
        directory = migrate.migrations_dir()
        return await database.repeat(
            lambda connection: migrate.migrate(connection, directory, database.schema), longest=migrate.LONGEST
        )
    finally:
        await database.close()


async def _learn_budget(api: Api, client: Client, exchange: Exchange) -> None:
    try:
        account = await api.account_requests_per_second()
        await api.learn_costs()
    except Rejected as error:
        if error.status in (401, 403):
            raise ServiceUnusable(f"the exchange refuses the API key: {error}") from None
        raise ServiceUnusable(f"cannot read the account's request limit: {error}") from None
    except Permanent as error:
        raise ServiceUnusable(f"cannot read the account's request limit: {error}") from None
    if exchange.requests_per_second is None:
        client.pacer.allow(account)


async def open_database(database_url: str, need: Need = LOOK) -> Database:
    """An open database whose schema and rights are as this program needs them; close it after use."""
    database = Database(database_url)
    await database.open()
    try:
        await database.require_current(need)
    except BaseException:
        await database.close()
        raise
    return database
