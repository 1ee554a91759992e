"""What the service knows of itself: written by the job as it works, read by the service's endpoints at any time."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from kalshi_ingest.clocks import steady
from kalshi_ingest.exchange.websocket import ChannelStats
from kalshi_ingest.http.client import Pacer, Traffic
from kalshi_ingest.http.server_clock import ServerClock
from kalshi_ingest.ingest.progress import SeriesStats, Wanted
from kalshi_ingest.postgres.writer import Writer

STALE_SECONDS = 15.0
"""Data known to be complete up to a moment longer ago than this is stale, unless the user states another bound."""
LONGEST_CACHE_SECONDS = 60.0
"""Up to so many seconds the default bound makes allowance for a cache before the exchange."""
DATABASE_SECONDS = 8.0
"""A database that did not answer for longer is away; it is checked every two seconds."""

LAG_BOUNDS = (0.1, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 60.0, 300.0, 3600.0)
"""Upper bounds of the buckets in which the lag of trades is counted, in seconds."""


class Phase(StrEnum):
    """What the service is doing as a whole."""

    STARTING = "starting"
    CATCHING_UP = "catching up"
    FOLLOWING = "following"
    MAINTENANCE = "exchange maintenance"
    EXCHANGE_AWAY = "exchange away"
    DATABASE_AWAY = "database away"
    STANDBY = "standby"
    FAULT = "program fault"
    STOPPING = "stopping"


@dataclass(slots=True)
class Lag:
    """How long after their `created_time` trades were committed, counted in buckets; `counts` has one more for the
    rest. Trades fetched while catching up after a loss are not counted."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(LAG_BOUNDS) + 1))
    total_seconds: float = 0.0

    def add(self, seconds: Iterable[float]) -> None:
        """Count some trades."""
        for each in seconds:
            place = next((index for index, bound in enumerate(LAG_BOUNDS) if each <= bound), len(LAG_BOUNDS))
            self.counts[place] += 1
            self.total_seconds += each


@dataclass(slots=True)
class SeriesState:
    """One series. Moments are on the steady clock."""

    wanted: Wanted
    fresh_at: float | None = None
    """Every trade that the exchange showed at this moment is committed; None: not known yet."""
    listed_at: float | None = None
    """When the exchange's lists of this series were last read to their ends."""
    last_trade_at: datetime | None = None
    """`created_time` of the newest trade stored, as far as this process knows."""
    open_markets: int = 0
    """Markets that trade."""
    unsettled_markets: int = 0
    """Markets that are known and not settled, those that trade included."""
    backlog: int = 0
    """Markets that wait for a walk or are being walked."""
    stats: SeriesStats = field(default_factory=SeriesStats)
    failed_markets: dict[str, str] = field(default_factory=dict)
    """Markets that fail now → why."""
    failed_listings: dict[str, str] = field(default_factory=dict)
    """What of the exchange's lists could not be read when they were read last → why."""
    lag: Lag = field(default_factory=Lag)
    missing: dict[str, int] = field(default_factory=dict)
    """Markets that trade → contracts (hundredths) of the exchange's own volume that no walk finds a trade for."""
    accepted: dict[str, int] = field(default_factory=dict)
    """The same of differences that stood still for so long that they are put down to the exchange's own books."""

    @property
    def failed(self) -> dict[str, str]:
        """What is failing now: ticker (or what else could not be read) → reason."""
        return self.failed_listings | self.failed_markets


@dataclass(slots=True)
class PeriodicJobState:
    """Something done on a schedule of its own beside the markets: settlements, minutes."""

    ran_at: float | None = None
    """When it last ended, on the steady clock."""
    succeeded_at: float | None = None
    error: str | None = None
    """Why the last one did not succeed."""


@dataclass(slots=True)
class FollowState:
    """The whole service."""

    series: dict[str, SeriesState]
    """By series ticker."""
    started_at: datetime
    clock: Callable[[], float] = steady
    stale_after: float | None = None
    """What the user called stale, seconds; None: `STALE_SECONDS` and as much more as a cache may add."""
    volumes_doubted: bool = False
    """The exchange's volumes stood still while trades continued: only trades are believed."""
    cache_seconds: float = 0.0
    """For how long a cache before the exchange repeats an answer; 0: none is known."""
    exchange_clock: ServerClock = field(default_factory=ServerClock)
    """The exchange's time, estimated from its answers."""
    phase: Phase = Phase.STARTING
    reason: str = ""
    """Why nothing is fetched at present, in words for the user; never with a secret."""
    database_seen_at: float | None = None
    database_proved_at: float | None = None
    """When it last showed that it holds what this service has stored. Minus infinity from the loss of a connection or
    the end of a session on; None before the first."""
    losses: Counter[str] = field(default_factory=Counter)
    """Times that everything had to be opened again, by what was lost: `exchange`, `database`; `series`: another run had
    one of them."""
    faults: int = 0
    """Unexpected exceptions."""
    traffic: Traffic = field(default_factory=Traffic)
    """Requests to the exchange since the process started."""
    pacer: Pacer | None = None
    """Of the session at work, or of the last one."""
    writer: Writer | None = None
    """The same."""
    channel: ChannelStats | None = None
    """The WebSocket; None without a key."""
    periodic_jobs: dict[str, PeriodicJobState] = field(default_factory=dict)
    """`settlement`, `minutes`."""

    @property
    def stale_seconds(self) -> float:
        """Data known to be complete up to a moment longer ago than this is stale.

        Behind a cache no answer proves more than that, so that without an allowance the data would be stale each time
        before the cache forgets; a cache that keeps answers for minutes gets none for the rest.
        """
        if self.stale_after is not None:
            return self.stale_after
        return STALE_SECONDS + min(self.cache_seconds, LONGEST_CACHE_SECONDS)

    @property
    def retries(self) -> int:
        """Requests that were repeated."""
        return sum(series.stats.tally.retries for series in self.series.values())

    @property
    def requests_per_second(self) -> float:
        """The budget; 0: not known yet."""
        return 0.0 if self.pacer is None else self.pacer.requests_per_second

    @property
    def pace(self) -> float:
        """Requests a second that may go at present: less than the budget after a 429."""
        return 0.0 if self.pacer is None else self.pacer.pace

    @property
    def queue(self) -> int:
        """Steps that wait for the writer."""
        return 0 if self.writer is None else self.writer.queued

    def now(self) -> datetime:
        """The exchange's time, UTC."""
        return self.exchange_clock()

    def age(self, series: SeriesState) -> float | None:
        """Seconds since the moment up to which the series is known to be complete; None: not known yet."""
        return None if series.fresh_at is None else max(0.0, self.clock() - series.fresh_at)

    def reset_freshness(self) -> None:
        """What was confirmed before may not be stored any more: it has to be confirmed again."""
        for series in self.series.values():
            series.fresh_at = None

    def not_ready(self) -> list[str]:
        """Why the data must not be taken for current, a line each; empty when they may.

        In the exchange's maintenance nothing gets stale: nothing trades, so nothing can be missed.
        """
        reasons: list[str] = []
        if self.phase is Phase.STOPPING:
            reasons.append("the service is stopping")
        if self.phase in (Phase.STANDBY, Phase.FAULT):
            reasons.append(self.reason)
        if self.database_seen_at is None or self.clock() - self.database_seen_at > DATABASE_SECONDS:
            reasons.append("the database does not answer")
        elif self.phase is Phase.DATABASE_AWAY:
            reasons.append(f"the database cannot be used: {self.reason}")
        proved_at, trades = self.database_proved_at, self.phase is not Phase.MAINTENANCE
        if proved_at is not None and self.clock() - proved_at > DATABASE_SECONDS:
            reasons.append("it is not known yet whether the database still holds what was stored")
        for series in self.series.values():
            age = self.age(series)
            failing = "".join(f"; failing: {reason}" for reason in list(series.failed.values())[:1])
            failing += self._doubts(series)
            if age is None:
                reasons.append(f"{series.wanted.label}: not up to date yet{failing}")
            elif age > self.stale_seconds and trades:
                reasons.append(f"{series.wanted.label}: {age:.0f} s old, more than {self.stale_seconds:g} s{failing}")
        if reasons and self.phase is Phase.EXCHANGE_AWAY:
            reasons.append(f"the exchange cannot be used: {self.reason}")
        return reasons

    def _doubts(self, series: SeriesState) -> str:
        """What of the exchange's own figures contradicts the data."""
        doubts = "; the exchange's volumes stand still while trades continue" if self.volumes_doubted else ""
        for ticker, hundredths in list(series.missing.items())[:1]:
            doubts += f"; {hundredths / 100:g} contracts of {ticker}'s volume are not among its trades"
        return doubts
