"""One market that has not settled: what is known of it, and whether the exchange has to be asked about it now.

Pure: it is told what was heard and what was stored. Moments are seconds on the steady clock, except those that end in
`_us`, which are the exchange's own time in microseconds.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.checkpoint import Checkpoint
from kalshi_ingest.domain.model import Pulse, Trade, Unit, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US

RECHECK_SECONDS = 600.0
"""A market that trades is asked for its trades this often even when its volume stands still: one was seen frozen."""
UNSTATED_SECONDS = 10.0
"""The same for a market whose volume the exchange does not state."""
_CLAIM_SECONDS = 10.0
"""How long a trade that was announced is looked for."""
_TRIES = 3
_SOON_US = 15_000_000
MISSING = "missing"
"""In the place of the wire's word, when the live tier does not name a market: it may have moved to the other tier."""
_BEFORE_WORDS = frozenset({"initialized", "active", "inactive", ""})
_ENDED_WORDS = frozenset({"finalized"})
_OPEN_WORDS = frozenset({"active", "inactive", ""})


@dataclass(slots=True)
class Unwritten:
    """Periods with stored trades whose candles are not written, because they had not ended."""

    minutes: set[int] = field(default_factory=set)
    buckets: set[int] = field(default_factory=set)

    def add_bucket(self, start_us: int) -> None:
        """A whole five-minute bucket, as it is found after a restart."""
        self.buckets.add(start_us)
        self.minutes |= set(range(start_us, start_us + BUCKET_US, MINUTE_US))

    def add_trades(self, trades: Iterable[Trade], closed_us: int) -> None:
        """The periods of some stored trades that end after `closed_us`."""
        for trade in trades:
            if trade.created_us + BUCKET_US > closed_us:
                minute = trade.created_us - trade.created_us % MINUTE_US
                bucket = trade.created_us - trade.created_us % BUCKET_US
                if minute + MINUTE_US > closed_us:
                    self.minutes.add(minute)
                if bucket + BUCKET_US > closed_us:
                    self.buckets.add(bucket)

    def written(self, closed_us: int) -> None:
        """What ended by `closed_us` is in the table now."""
        self.minutes = {start for start in self.minutes if start + MINUTE_US > closed_us}
        self.buckets = {start for start in self.buckets if start + BUCKET_US > closed_us}

    def due(self, closed_us: int) -> frozenset[int]:
        """Buckets of which something ended by `closed_us`."""
        minutes = {start - start % BUCKET_US for start in self.minutes if start + MINUTE_US <= closed_us}
        return frozenset(minutes | {start for start in self.buckets if start + BUCKET_US <= closed_us})

    def all(self) -> frozenset[int]:
        """Every bucket of which something is to be written."""
        return frozenset({start - start % BUCKET_US for start in self.minutes} | self.buckets)


@dataclass(slots=True)
class Tracked:
    """A market that has not settled."""

    unit: Unit
    known: Checkpoint | None
    unwritten: Unwritten = field(default_factory=Unwritten)
    api_status: str = ""
    """The wire's word; empty until the exchange was asked, `missing` when the live tier does not name it."""
    working: bool = False
    """Somebody is at work on it."""
    whole: bool = False
    """The next walk asks for everything, not only for what is new."""
    walked_at: float = -math.inf
    """When the last walk that came to its end began."""
    confirmed_at: float | None = None
    """All trades that the exchange showed at this moment are stored."""
    confirmed_us: int = 0
    """The same moment in the exchange's time."""
    failing: bool = False
    _listed: int | None = field(init=False)
    _moved: bool = False
    """The volume rose since the last walk began."""
    _explained: int = 0
    """By how much the exchange's volume exceeds its trades, as far as a whole walk showed."""
    _deficit_before: int = 0
    """The deficit that the walk before left."""
    _tries: int = 0
    _not_before: float = -math.inf
    _claims: dict[bytes, float] = field(default_factory=dict)
    _lists_asked: int = 0
    _lists_not_before: float = -math.inf

    def __post_init__(self) -> None:
        self._listed = self.unit.volume

    def is_open(self, now_us: int) -> bool:
        """Whether trades may appear: it trades, will within seconds, or nobody has asked yet."""
        if self.api_status == "initialized":
            return to_microseconds(self.unit.open_time) <= now_us + _SOON_US
        if self.api_status == MISSING:
            return now_us < to_microseconds(self.unit.close_time)
        return self.api_status in _OPEN_WORDS

    def heard(self, pulse: Pulse, began: float, began_us: int) -> bool:
        """Take in how far the exchange says it got when it was asked at `began`; whether the lists have to be read."""
        # At the first look, what has closed meanwhile has moved on from what the lists said a moment before.
        went_on = pulse.api_status != self.api_status if self.api_status else pulse.api_status not in _BEFORE_WORDS
        if pulse.volume is not None and self._listed is not None and pulse.volume > self._listed:
            self._moved = True
        self.api_status, self._listed = pulse.api_status, pulse.volume
        if self._agrees() and pulse.volume is not None:  # a volume that is not stated proves nothing
            self._confirm(began, began_us)
        if went_on or pulse.api_status not in _ENDED_WORDS:
            self._lists_asked = 0
            return went_on
        return self._should_be_gone(began)

    def missed(self, began: float) -> bool:
        """The live tier did not name it when it was asked; whether the lists have to be read."""
        self.api_status, self._listed = MISSING, None
        return self._should_be_gone(began)

    def _should_be_gone(self, now: float) -> bool:
        """The lists should have taken it from here. They may be unable to; then they are asked ever more rarely."""
        if now < self._lists_not_before:
            return False
        self._lists_not_before = now + _doubled(5.0, self._lists_asked, 3_600.0)
        self._lists_asked += 1
        return True

    def claim(self, trade_id: bytes, now: float) -> None:
        """A trade was announced: it has to be found."""
        self._claims[trade_id] = now + _CLAIM_SECONDS
        if not self.failing:
            self._not_before = min(self._not_before, now)

    def found(self, trades: Iterable[Trade]) -> None:
        """These trades are stored."""
        if self._claims:
            for trade in trades:
                self._claims.pop(trade.trade_id, None)

    def waits_until(self, now: float) -> float:
        """When its trades are to be asked for: `now` or earlier means now, infinity not before something is heard.

        Once the sum of the trades is the volume, only a new volume is a reason to ask.
        """
        if self.working:
            return math.inf
        if self.known is None or self.known.state != "open" or self._claims or not self._settled_in_sum():
            return self._not_before
        patience = UNSTATED_SECONDS if self._listed is None else RECHECK_SECONDS
        asked_anyway = self.api_status in _OPEN_WORDS or self.api_status == MISSING
        return max(self._not_before, self.walked_at + patience) if asked_anyway else math.inf

    def begin(self) -> None:
        """Somebody begins to work on it."""
        self.working = True
        self._moved = False

    def walked(self, checkpoint: Checkpoint, began: float, began_us: int, now: float) -> None:
        """A walk that began at `began` ended so."""
        self.known = checkpoint
        self._claims = {each: until for each, until in self._claims.items() if until > now}
        self.failing = checkpoint.state == "failed"
        if self.failing:
            self._tries += 1
            self._not_before = now + _doubled(10.0, self._tries, RECHECK_SECONDS)
            return
        self.walked_at = began
        deficit = self._deficit()
        if self._agrees():
            self._tries, self.whole = 0, False
            self._not_before = -math.inf
        elif self._claims:
            self._not_before = now + 0.2
        elif self._moved and deficit != self._deficit_before:
            self._not_before = -math.inf  # there is news, so the walk did not fail to find it
        elif self.whole:
            self._explained, self._tries, self.whole = deficit, 0, False
        else:
            self._tries += 1
            self._not_before = now + _doubled(0.3, self._tries, 10.0)
            self.whole = self._tries >= _TRIES
        self._deficit_before = deficit
        if self._agrees():
            self._confirm(began, began_us)

    def _confirm(self, moment: float, moment_us: int) -> None:
        if self.confirmed_at is None or moment > self.confirmed_at:
            self.confirmed_at, self.confirmed_us = moment, moment_us

    def _deficit(self) -> int:
        stored = 0 if self.known is None else self.known.contracts_stored
        return 0 if self._listed is None else self._listed - stored

    def _settled_in_sum(self) -> bool:
        # A list that lags behind the trades says less than is stored: no reason to ask, unless it goes on.
        deficit = self._deficit()
        return deficit in (0, self._explained) or (deficit < 0 and not self._moved)

    def _agrees(self) -> bool:
        walked = self.known is not None and self.known.state == "open"
        return walked and not self._claims and self._settled_in_sum()


def _doubled(seconds: float, times: int, most: float) -> float:
    """A pause that doubles each time. After weeks of it the power itself would be too large for a float."""
    return min(most, seconds * 2.0 ** min(times, 16))
