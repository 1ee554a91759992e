"""One market that has not settled: what is known of it, and whether the exchange has to be asked about it now.

Pure: callers record what was received and what was stored. Moments are seconds on the steady clock, except those that
end in `_us`, which are the exchange's own time in microseconds.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

from kalshi_ingest.domain.checkpoint import Checkpoint, State
from kalshi_ingest.domain.model import MarketSnapshot, Trade, Unit, to_microseconds
from kalshi_ingest.exchange.caching import Made
from kalshi_ingest.follow.pending_candles import PendingCandles
from kalshi_ingest.follow.volume_gap import WHOLE_SECONDS, Difference

RECHECK_SECONDS = 600.0
"""A market that trades is asked for its trades this often even when its volume stands still: one was seen frozen."""
UNSTATED_SECONDS = 10.0
"""The same for a market whose volume the exchange does not state, and for all while the volumes are doubted."""
_CLAIM_SECONDS = 10.0
"""How long a trade that was announced is looked for; behind a cache as much longer as it repeats its answers."""
_NEWS_SECONDS = 1.0
"""After a volume rose its trades are asked for within so long, also while others are missing."""
_PAUSE_SECONDS = 0.2
"""Before what was announced and not found is asked for again."""
_PARTS = 5
"""Requests within the time that a cache keeps an answer, if it does not state when it forgets it."""
_TRIES = 3
_BEHIND_SECONDS = 3.0
"""A volume may follow its trades by so much before it counts as one that stands still."""
_SOON_US = 15_000_000
MISSING = "missing"
"""The status of a market that the live tier does not name: it may have moved to the other tier."""
_BEFORE_WORDS = frozenset({"initialized", "active", "inactive", ""})
_ENDED_WORDS = frozenset({"finalized"})
_OPEN_WORDS = frozenset({"active", "inactive", ""})


@dataclass(slots=True)
class MarketState:
    """A market that has not settled."""

    unit: Unit
    known: Checkpoint | None
    unwritten: PendingCandles = field(default_factory=PendingCandles)
    api_status: str = ""
    """The wire's word; empty until the exchange was asked, `missing` when the live tier does not name it."""
    working: bool = False
    """A worker has it."""
    whole: bool = False
    """The next walk asks for everything, not only for what is new."""
    walked_at: float = -math.inf
    """When the last walk that came to its end began."""
    confirmed_at: float | None = None
    """All trades that the exchange showed at this moment are stored."""
    confirmed_us: int = 0
    """The same moment in the exchange's time."""
    failing: bool = False
    made: Made | None = None
    """When the pages of the walk under way, or of the last one, were made; None: it has none yet."""
    closed_us: int | None = None
    """That walk wrote the candles that ended by this moment of the exchange's time, and none that end later."""
    _listed: int | None = field(init=False)
    _listed_at: float = -math.inf
    """When the newest volume was made."""
    _risen_at: float = -math.inf
    """When the volume was first made that is listed now."""
    _repeated_until: float = -math.inf
    """Until then a cache repeats what the last walk was shown."""
    _moved: bool = False
    """The volume rose since the last walk began."""
    _difference: Difference = field(default_factory=Difference)
    """Between its volume and the sum of its trades."""
    _seen: int = 0
    """Contracts (hundredths) on the pages of the walk under way."""
    _walked_us: int = 0
    """What the last walk that came to its end was shown is from this moment of the exchange's time."""
    _behind_since: float | None = None
    """Since when the volume falls short of trades that were shown before it was made; None: it does not."""
    _behind_by: int = 0
    _stands_at: float = -math.inf
    """Since when it falls short by as much as it does."""
    _tries: int = 0
    _not_before: float = -math.inf
    _claims: dict[bytes, float] = field(default_factory=dict)
    _lists_asked: int = 0
    _lists_not_before: float = -math.inf

    def __post_init__(self) -> None:
        self._listed = self.unit.volume

    def is_open(self, now_us: int) -> bool:
        """Whether trades may appear: it trades, will within seconds, or its status is not known yet."""
        if self.api_status == "initialized":
            return to_microseconds(self.unit.open_time) <= now_us + _SOON_US
        if self.api_status == MISSING:
            return now_us < to_microseconds(self.unit.close_time)
        return self.api_status in _OPEN_WORDS

    def record_snapshot(
        self, market_snapshot: MarketSnapshot, began: float, began_us: int, *, trusted: bool = True
    ) -> bool:
        """Take in how far the exchange said at `began` that it had got; whether the lists have to be read.

        `trusted`: volumes are to be believed at present.
        """
        if began < self._listed_at:
            return False  # an older copy than the one before
        # At the first snapshot, a market that closed meanwhile differs from what the lists said.
        changed = (
            market_snapshot.api_status != self.api_status
            if self.api_status
            else market_snapshot.api_status not in _BEFORE_WORDS
        )
        if market_snapshot.volume is not None and self._listed is not None and market_snapshot.volume > self._listed:
            self._moved = True
            if not self.failing:  # whatever is looked for besides, the new trades are asked for
                self._not_before = min(self._not_before, max(began + _NEWS_SECONDS, self._repeated_until))
        if market_snapshot.volume != self._listed:
            self._risen_at = began
        self.api_status, self._listed, self._listed_at = market_snapshot.api_status, market_snapshot.volume, began
        self._note_behind(began)
        # A volume that is not stated proves nothing; one below what is stored was made before that, or stands still.
        if (
            trusted
            and market_snapshot.volume is not None
            and self._agrees()
            and self._deficit() in (0, self._difference.explained)
        ):
            self._confirm(began, began_us)
        if changed or market_snapshot.api_status not in _ENDED_WORDS:
            self._lists_asked = 0
            return changed
        return self._should_be_gone(began)

    def record_absence(self, began: float) -> bool:
        """The live tier did not name it when it was asked; whether the lists have to be read."""
        self.api_status, self._listed = MISSING, None
        return self._should_be_gone(began)

    def _note_behind(self, began: float) -> None:
        """Whether the volume that was made at `began` lacks trades that were shown before."""
        deficit = self._deficit()
        if deficit >= 0 or deficit == self._difference.explained or began < self.walked_at:
            self._behind_since = None
        elif self._behind_since is None or deficit != self._behind_by:
            self._behind_since, self._behind_by, self._stands_at = self._behind_since or began, deficit, began
        elif began - self._stands_at >= RECHECK_SECONDS:
            # Nothing was made meanwhile that it could show.
            self._difference.explained = deficit
            self._behind_since = None

    def lags(self, now: float) -> bool:
        """Whether its volume stands still while its trades continue."""
        return self._behind_since is not None and now - self._behind_since >= _BEHIND_SECONDS

    def distrust_volumes(self) -> None:
        """Volumes are not to be believed: what one of them confirmed since the last walk is not."""
        if self.confirmed_at is not None and self.confirmed_at > self.walked_at:
            self.confirmed_at = self.walked_at if self._walked_us else None
            self.confirmed_us = min(self.confirmed_us, self._walked_us)

    @property
    def missing(self) -> int:
        """Contracts (hundredths) of its volume that its trades do not show and that nothing explains."""
        deficit = self._deficit()
        return 0 if deficit == self._difference.explained else max(0, deficit)

    @property
    def explained(self) -> int:
        """Contracts (hundredths) by which its volume exceeds its trades for good, as it seems."""
        return max(0, self._difference.explained) if self._deficit() == self._difference.explained else 0

    @property
    def searched(self) -> bool:
        """Whether everything was asked for since its volume came to exceed its trades by as much as it does."""
        return self.missing > 0 and self._difference.is_searched(self._deficit())

    def _should_be_gone(self, now: float) -> bool:
        """The lists should have taken it from here. They may be unable to; then they are asked ever more rarely."""
        if now < self._lists_not_before:
            return False
        self._lists_not_before = now + _doubled(5.0, self._lists_asked, 3_600.0)
        self._lists_asked += 1
        return True

    def expect_trade(self, trade_id: bytes, now: float, cache_seconds: float = 0.0) -> None:
        """A trade was announced: it has to be found, once the copy is forgotten that was made before it."""
        self._claims[trade_id] = now + _CLAIM_SECONDS + cache_seconds
        if not self.failing:
            self._not_before = min(self._not_before, max(now, self._repeated_until))

    def confirm_trades(self, trades: Iterable[Trade]) -> None:
        """These trades are stored."""
        if self._claims:
            for trade in trades:
                self._claims.pop(trade.trade_id, None)

    @property
    def age(self) -> float:
        """Seconds by which the pages of the last walk may have been older than their being asked for."""
        return 0.0 if self.made is None else self.made.age

    def record_page(self, trades: Iterable[Trade], made: Made | None, now: float) -> None:
        """A page of the walk under way is stored; `made`: when it was made, None for no answer at all."""
        self._seen += sum(trade.size for trade in trades)
        if made is not None:
            self.made = made if self.made is None else self.made.and_(made)
            self._repeated_until = now + (made.kept or min(made.age, made.longest) / _PARTS)

    def waits_until(self, now: float, *, doubted: bool = False) -> float:
        """When its trades are to be asked for: `now` or earlier means now, infinity not before something is heard.

        Once the sum of the trades is the volume, only a new volume is a reason to ask, unless volumes are `doubted`.
        """
        if self.working:
            return math.inf
        if self.known is None or self.known.state is not State.OPEN or self._claims or not self._settled_in_sum():
            return self._not_before
        patience = UNSTATED_SECONDS if self._listed is None or doubted else RECHECK_SECONDS
        asked_anyway = self.api_status in _OPEN_WORDS or self.api_status == MISSING
        return max(self._not_before, self.walked_at + patience) if asked_anyway else math.inf

    def may_be_checked(self, now: float, pause: float) -> bool:
        """Whether its trades may be looked at without a reason."""
        rests = not self.working and not self.failing and now - self.walked_at >= pause
        return rests and now >= max(self._not_before, self._repeated_until)

    def expected(self, now: float) -> float:
        """How many trades it may have made since its last walk, up to a factor that all markets share."""
        return (1 + (0 if self.known is None else self.known.trades_stored)) * (now - self.walked_at)

    def begin(self) -> None:
        """A worker takes it."""
        self.working = True
        self._moved = False
        self.made = self.closed_us = None
        self._seen = 0

    def record_walk(self, checkpoint: Checkpoint, began: float, began_us: int, now: float, alive_us: int = 0) -> None:
        """A walk that shows what there was at `began` ended so; `alive_us`: the newest trade of its series."""
        before, self.known = self.known, checkpoint
        self._claims = {each: until for each, until in self._claims.items() if until > now}
        self.failing = checkpoint.state is State.FAILED
        if self.failing:
            self._tries += 1
            self._not_before = now + _doubled(10.0, self._tries, RECHECK_SECONDS)
            return
        self.walked_at, self._walked_us = began, began_us
        if before is None or before.newest_us != checkpoint.newest_us:
            self._repeated_until = -math.inf  # the next request is another one
        deficit = self._deficit()
        news = self._moved and deficit != self._difference.before
        self._difference.record_walk(deficit, self._listed, now, began_us)
        if self.whole:
            self._difference.record_full_walk(now, whole=self._seen >= checkpoint.contracts_stored, alive_us=alive_us)
        if self._agrees():
            self._tries, self.whole = 0, False
            self._not_before = -math.inf
            self._confirm(began, began_us)
        elif self._claims:
            self._not_before = max(now + _PAUSE_SECONDS, self._repeated_until)
        elif news:
            self._not_before = -math.inf  # the walk did not fail to find it
        elif began < self._risen_at:
            self._not_before = max(now + _PAUSE_SECONDS, self._repeated_until)  # a copy that could not show it
        else:
            self._tries += 1
            self._not_before = max(now + _doubled(0.3, self._tries, 10.0), self._repeated_until)
            self.whole = self._tries >= _TRIES and now - self._difference.whole_at >= WHOLE_SECONDS

    def _confirm(self, moment: float, moment_us: int) -> None:
        if self.confirmed_at is None or moment > self.confirmed_at:
            self.confirmed_at, self.confirmed_us = moment, moment_us

    def _deficit(self) -> int:
        stored = 0 if self.known is None else self.known.contracts_stored
        return 0 if self._listed is None else self._listed - stored

    def _settled_in_sum(self) -> bool:
        # A list that lags behind the trades says less than is stored: no reason to ask, unless it rises.
        deficit = self._deficit()
        return deficit in (0, self._difference.explained) or (deficit < 0 and not self._moved)

    def _agrees(self) -> bool:
        walked = self.known is not None and self.known.state is State.OPEN
        return walked and not self._claims and self._settled_in_sum()


def _doubled(seconds: float, times: int, most: float) -> float:
    """A pause that doubles each time. After weeks of it the power itself would be too large for a float."""
    return min(most, seconds * 2.0 ** min(times, 16))
