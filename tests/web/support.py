"""A state as the job would have written it, a small world that is trading, and what a browser would see."""

from datetime import UTC, date, datetime
from urllib.parse import urlsplit

from kalshi_ingest.clocks import steady
from kalshi_ingest.follow.state import FollowState, Phase, SeriesState
from kalshi_ingest.http.client import Pacer
from kalshi_ingest.ingest.discovery import Dates
from kalshi_ingest.ingest.progress import Wanted
from kalshi_simulator import Simulator, SyntheticWorld, WorldConfig
from tests.support.backfills import Run

NOW = datetime(2025, 7, 20, 20, 14, 33, tzinfo=UTC)
"""Chicago trades today's event and tomorrow's."""
CHICAGO, MIAMI = Wanted("KXHIGHCHI", "chicago"), Wanted("KXHIGHMIA", "miami")
FIRST, TODAY, TOMORROW = date(2025, 7, 17), date(2025, 7, 20), date(2025, 7, 21)
SECRET = "correct-horse-battery"


def following(*wanted: Wanted) -> FollowState:
    """A service that follows, up to date but for the database, which nobody has asked yet."""
    fresh = {each.series_ticker: SeriesState(each, fresh_at=steady()) for each in wanted or (CHICAGO, MIAMI)}
    return FollowState(
        fresh,
        started_at=datetime(2025, 7, 19, tzinfo=UTC),
        stale_after=3600,
        phase=Phase.FOLLOWING,
        pacer=Pacer(5),
    )


async def fill(database_url: str) -> SyntheticWorld:
    """Two cities, three settled days, today's and tomorrow's event, by a real backfill."""
    world = SyntheticWorld(
        WorldConfig(
            start=FIRST,
            end=TOMORROW,
            now=NOW,
            seed=3,
            cities=("KXHIGHCHI", "KXHIGHMIA"),
            trades_per_market=60.0,
            oddities=False,
        )
    )
    async with Simulator(world) as simulator:
        await Run(simulator.url, database_url, (CHICAGO, MIAMI), dates=Dates(FIRST, TOMORROW))()
    return world


def with_password(url: str) -> str:
    """The same address with a password in it, which a server that trusts everybody does not look at."""
    parts = urlsplit(url)
    user = (parts.username or "") + f":{SECRET}"
    return parts._replace(netloc=f"{user}@{parts.netloc.rpartition('@')[2]}").geturl()
