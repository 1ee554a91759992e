"""What is proved about one market's trades, how a page moves it, and the task to prove the rest."""

from dataclasses import dataclass, replace
from datetime import date
from enum import StrEnum

from kalshi_ingest.domain.model import Tier, Unit
from kalshi_ingest.errors import BadPayload

Position = tuple[int, bytes]
"""(created_us, trade_id): where a trade stands in the exchange's order."""


class State(StrEnum):
    """How far the walk over a market's trades has come; the table's own words."""

    WALKING = "walking"
    """Some pages are stored."""
    OPEN = "open"
    """Walked to the end before the market settled."""
    COMPLETE = "complete"
    """Walked to the end of every tier after the market settled."""
    FAILED = "failed"


class Verdict(StrEnum):
    """The sum of a complete market's trades against the exchange's own volume; the table's own words."""

    EXACT = "exact"
    SHORT = "short"
    OVER = "over"
    UNKNOWN = "unknown"
    """The exchange states no volume."""


def verdict_on(contracts: int, exchange_volume: int | None) -> Verdict:
    """What the stored contracts say against the exchange's own volume, both in hundredths of a contract.

    The volume has to be one read after the market settled: before, it is stale.
    """
    if exchange_volume is None:
        return Verdict.UNKNOWN
    if contracts == exchange_volume:
        return Verdict.EXACT
    return Verdict.SHORT if contracts < exchange_volume else Verdict.OVER


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What is proved about one market's trades. `contracts_stored`, `exchange_volume`: hundredths of a contract."""

    ticker: str
    series_ticker: str
    event_date: date
    state: State = State.WALKING
    tier: Tier | None = None
    cursor: str | None = None
    walk: int = 1
    rewalk: bool = False
    settled_first: bool = False
    oldest: Position | None = None
    """The oldest trade stored while every page was new. The candles of its bucket are still to be written."""
    newest_us: int | None = None
    """The newest trade seen. Once such a walk is over (`open`), every trade created before it is stored."""
    since_us: int | None = None
    """This walk asks for trades created since then only: what is older was stored by the walk before it."""
    pages: int = 0
    trades_stored: int = 0
    contracts_stored: int = 0
    exchange_volume: int | None = None
    verdict: Verdict | None = None
    """None unless complete."""
    error: str | None = None

    def is_proved(self, exchange_volume: int | None) -> bool:
        """Whether nothing is left to ask: complete, against the volume (hundredths) that the exchange states now."""
        return self.state is State.COMPLETE and self.exchange_volume == exchange_volume

    def failed(self, error: str) -> "Checkpoint":
        """This market failed; what is stored stays, and the next run walks it again from its newest trade."""
        return replace(self, state=State.FAILED, error=error, verdict=None, tier=None, cursor=None, since_us=None)

    def after_page(self, trades: int, contracts: int, *, last: bool, inherits: bool = False) -> "Checkpoint":
        """After a page that added so many rows and contracts (hundredths): still walking, or what the `last` says.

        `inherits`: rows are held that this walk did not see. More than the exchange shows is then no verdict: the
        market stays at the beginning of its second walk until other rows replace those. Raises `BadPayload` for a
        settled market with a volume of which two walks show no trade: that is not a shortfall.
        """
        moved = replace(
            self, trades_stored=self.trades_stored + trades, contracts_stored=self.contracts_stored + contracts
        )
        if not last:
            return moved
        moved = replace(moved, oldest=None, since_us=None)
        if not moved.settled_first:
            return replace(moved, state=State.OPEN, rewalk=False)
        said = verdict_on(moved.contracts_stored, moved.exchange_volume)
        if (said is not Verdict.EXACT and moved.walk == 1) or (said is Verdict.OVER and inherits):
            return replace(moved, walk=2, tier=Tier.LIVE, rewalk=True)
        if said is Verdict.SHORT and not moved.trades_stored:
            raise BadPayload(f"{self.ticker}: the exchange states a volume and shows no trade, in neither tier")
        return replace(moved, state=State.COMPLETE, verdict=said, rewalk=False, newest_us=None)


@dataclass(frozen=True, slots=True)
class Task:
    """One market to walk, and what was known about it when the run began."""

    unit: Unit
    known: Checkpoint | None
    only_new: bool = False
    """Ask only for what is not held yet, where the checkpoint allows it."""
    unwritten: frozenset[int] = frozenset()
    """Buckets of stored trades whose candles wait to be written."""
