"""Everything that one look at the status page shows, gathered before a word of it is written."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

from kalshi_ingest.coverage.rules.evidence import Evidence
from kalshi_ingest.domain.calendar import climate_day_of
from kalshi_ingest.domain.cities import city_of_series
from kalshi_ingest.follow.state import FollowState
from kalshi_ingest.postgres.database import Connection
from kalshi_ingest.web import queries
from kalshi_ingest.web.db_connection import Link
from kalshi_ingest.web.judged import Days, judged_days
from kalshi_ingest.web.queries import HeldBin, HeldCandle

MOST_CANDLES = 300
PERIODS = (5, 1)
"""Minutes of a candle that can be chosen, the usual one first."""

_DAYS_BACK = 41
_DAYS_AHEAD = 14
_LONGEST_TICKER = 80


@dataclass(frozen=True, slots=True)
class Choice:
    """What the person asked to see in the chart."""

    ticker: str | None
    """None: the market with the largest volume among those that trade."""
    period: int

    @classmethod
    def of(cls, ticker: str | None, period: str | None) -> "Choice":
        """From the address; what makes no sense there counts as not asked."""
        if ticker is not None and not (0 < len(ticker) <= _LONGEST_TICKER and ticker.isprintable()):
            ticker = None
        return cls(ticker, next((each for each in PERIODS if str(each) == period), PERIODS[0]))


@dataclass(frozen=True, slots=True)
class Held:
    days: Days
    crowded: Collection[str]
    """Series with too many markets to be judged for a page."""
    bins: Sequence[HeldBin]
    market: HeldBin | None
    """The market of the chart; None when it is not held."""
    candles: Sequence[HeldCandle]


@dataclass(frozen=True, slots=True)
class View:
    state: FollowState
    version: str
    now: datetime
    """The exchange's time, UTC."""
    requests_per_second: float | None
    """Sent lately."""
    choice: Choice
    held: Held | None
    """None: the database did not say."""
    away: str = ""


async def held(link: Link, state: FollowState, now: datetime, choice: Choice) -> Held:
    """What the page needs of the database, as of one instant. Raises `Away`."""
    window = now.date() - timedelta(days=_DAYS_BACK), now.date() + timedelta(days=_DAYS_AHEAD)

    async def read(connection: Connection) -> tuple[Evidence, Sequence[str], Held]:
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            judged, evidence = await queries.evidence(connection, list(state.series), *window)
            bins = await queries.bins(connection, list(state.series), *window)
            market = await queries.market(connection, choice.ticker) if choice.ticker else _busiest(bins)
            candles = await queries.candles(connection, market.ticker, choice.period, MOST_CANDLES) if market else ()
            return evidence, judged, Held({}, set(state.series) - set(judged), bins, market, candles)

    evidence, judged, found = await link.ask(read)
    return replace(found, days=await asyncio.to_thread(judged_days, evidence, judged, window, now))


def _busiest(bins: Sequence[HeldBin]) -> HeldBin | None:
    return max(bins, key=lambda each: (each.status == "open", each.contracts or 0), default=None)


def today_of(series_ticker: str, now: datetime) -> date:
    """The climate day of the series' city; the day in UTC for a series of no city."""
    city = city_of_series(series_ticker)
    return climate_day_of(city, now) if city else now.astimezone(UTC).date()


def zone_of(series_ticker: str) -> ZoneInfo:
    """The civil time zone in which times of a series are shown; UTC for a series of no city."""
    city = city_of_series(series_ticker)
    return ZoneInfo(city.time_zone if city else "UTC")


def name_of(series_ticker: str) -> str:
    """What a person calls the series: its city's name, else the ticker."""
    city = city_of_series(series_ticker)
    return city.name if city else series_ticker
