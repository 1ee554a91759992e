"""The walk over one market's trades, page by page, newest first: what each page adds and what it proves.

Pure: pages go in, steps come out. A step holds the rows of one page, the candles that the page completes, and the
checkpoint that vouches for them; whoever stores a step stores all of it or nothing.
"""

from collections.abc import Sequence, Set
from dataclasses import dataclass, replace

from kalshi_ingest.domain.candles import MINUTE_US, fold, merge, roll_up
from kalshi_ingest.domain.checkpoint import Checkpoint, Position, State
from kalshi_ingest.domain.model import Candle, Tier, Trade, Unit
from kalshi_ingest.errors import BadPayload

BUCKET_US = 5 * MINUTE_US
"""Candles are written in whole buckets of the longest period, which every shorter period divides."""

OVERLAP_US = MINUTE_US
"""How far a walk that asks only for what is new reaches back over what is held: trades may show up a little late."""


@dataclass(frozen=True, slots=True)
class Step:
    """One page's worth of writing."""

    ticker: str
    trades: list[Trade]
    """Ascending, each once."""
    fresh: bool
    """The rows are proved new, so they can be copied straight in; else they go through staging."""
    candles: list[Candle]
    """Complete one-minute candles to write, oldest first (fresh steps only)."""
    candles_5m: list[Candle]
    """The five-minute candles of the same buckets."""
    unwritten: Set[int]
    """Buckets whose rows are stored but whose candles are not (steps that are not fresh only)."""
    closed_us: int | None
    """Candles that end later than this are not written: more trades may come. None: none will."""
    next: Checkpoint
    """The checkpoint once this page is stored, but for what it adds to the tables."""
    last: bool
    """No page follows in this walk."""
    inherits: bool = False
    """Rows are held that this walk did not see."""
    replacing: bool = False
    """These rows take the place of all that is held of the market, which contradicts the exchange."""

    def after(self, trades: int, contracts: int) -> Checkpoint:
        """The checkpoint once this page added so many rows and contracts (hundredths) to the tables."""
        return self.next.after_page(trades, contracts, last=self.last, inherits=self.inherits)


class Walk:
    """The state of one market's walk. `position` says which page to ask for next; None means the walk is over."""

    def __init__(
        self,
        unit: Unit,
        tiers: Sequence[Tier],
        known: Checkpoint | None,
        *,
        since_us: int | None = None,
        unwritten: Set[int] = frozenset(),
    ) -> None:
        """Start, or resume from what is `known`.

        A market that failed, or settled during or after its walk, is walked again from its newest trade, over staging;
        then it asks for trades `since_us` only, if that is given (see `resume_from`). `unwritten`: buckets whose
        candles are to be written.
        """
        fresh = Checkpoint(
            unit.ticker,
            unit.series_ticker,
            unit.event_date,
            tier=tiers[0],
            settled_first=unit.settled,
            exchange_volume=unit.volume,
        )
        self._fresh = fresh
        """The checkpoint of a market of which nothing is held."""
        self._carry: list[Candle] = []
        self._page_oldest: Position | None = None
        self._unwritten = unwritten
        self.held = known
        """The market's checkpoint as it is stored; None: it has none."""
        self.replacing = False
        """What is held contradicts the exchange: the next step takes the place of all of it."""
        self.surplus = False
        """Both walks are over, and rows are held that the exchange does not show: the market has to be walked again."""
        self._inherits = known is not None and known.trades_stored > 0
        self._doubted: Checkpoint | None = None
        """The checkpoint of what is held, until the step that takes its place is stored."""
        if known is None:
            self.checkpoint = fresh
        elif known.state is State.WALKING and known.settled_first == unit.settled:
            self.checkpoint = replace(known, exchange_volume=unit.volume)
        else:
            self.checkpoint = replace(
                fresh,
                rewalk=known.trades_stored > 0,
                newest_us=known.newest_us,
                since_us=since_us,
                oldest=known.oldest,
                pages=known.pages,
                trades_stored=known.trades_stored,
                contracts_stored=known.contracts_stored,
            )

    @property
    def position(self) -> tuple[Tier, str | None] | None:
        """(tier, cursor) of the next page; None when the walk is over."""
        tier = self.checkpoint.tier
        return None if tier is None else (tier, self.checkpoint.cursor)

    @property
    def cut_bucket(self) -> int | None:
        """Start of the bucket that the last stored page cut, whose trades have to be given to `restore`."""
        oldest = self.checkpoint.oldest
        return None if self.checkpoint.rewalk or oldest is None else _start(oldest)

    def restore(self, candles: list[Candle]) -> None:
        """Take back the one-minute candles of the cut bucket as far as its trades are stored already.

        Newer ones are left alone: they are written.
        """
        start = self.cut_bucket
        self._carry = [] if start is None else [candle for candle in candles if candle.start_us < start + BUCKET_US]

    def start_over(self, tiers: Sequence[Tier]) -> None:
        """Walk again from the newest trade, over staging: the place to resume from is no longer valid."""
        self._carry = []
        self._page_oldest = None
        self.checkpoint = replace(self.checkpoint, tier=tiers[0], cursor=None, rewalk=True)

    def reload(self, known: Checkpoint | None, trades: int, contracts: int, tiers: Sequence[Tier]) -> None:
        """Walk again from the newest trade, over staging: what is stored is not what this walk believed.

        `known` is the checkpoint as it is stored; `trades` and `contracts` (hundredths) were counted in the table.
        """
        self.held, self.replacing, self._doubted = known, False, None
        stored = known or self._fresh
        self.checkpoint = replace(
            self.checkpoint,
            walk=1,
            since_us=None,
            oldest=stored.oldest,
            newest_us=stored.newest_us,
            pages=stored.pages,
            trades_stored=trades,
            contracts_stored=contracts,
        )
        self._inherits = trades > 0
        self.start_over(tiers)

    def begin_replacement(self, tiers: Sequence[Tier]) -> None:
        """Walk again from the newest trade as if nothing were held: what is held contradicts the exchange.

        It stays, and so does its checkpoint, until the first page with trades takes its place.
        """
        self._carry = []
        self._page_oldest = None
        self._unwritten = frozenset()
        self.replacing, self._inherits, self._doubted = True, False, self._doubted or self.checkpoint
        self.checkpoint = replace(self._fresh, tier=tiers[0], pages=self.checkpoint.pages)

    def skip(self, tiers: Sequence[Tier]) -> bool:
        """Continue with the next tier without a step, because this one shows no trade; false when there is none."""
        following = self._following(self.checkpoint, None, tiers)
        if following is not None:
            self.checkpoint = replace(self.checkpoint, tier=following[0], cursor=None)
        return following is not None

    def take(
        self, trades: list[Trade], cursor: str | None, tiers: Sequence[Tier], closed_us: int | None = None
    ) -> Step:
        """The step that the page at `position` makes; `tiers` are those the market needs as the cutoff is now.

        `closed_us`: candles that end later are kept back, because the market still trades. Raises `BadPayload` when the
        page promises more and does not reach further back than the one before it.
        """
        before = self.checkpoint
        newest: Position | None = trades[-1][:2] if trades else None
        oldest: Position | None = trades[0][:2] if trades else None
        edge = oldest if cursor is not None else None
        if edge is not None and self._page_oldest is not None and edge >= self._page_oldest:
            raise BadPayload(f"{before.ticker}: a page reaches no further back than the page before it: a loop")
        fresh = not before.rewalk and (newest is None or before.oldest is None or newest < before.oldest)
        following = self._following(before, cursor, tiers)
        if before.since_us is not None and trades and trades[0].created_us < before.since_us:
            following = None  # what is older is stored, whether or not the exchange heeds a bound
        last = following is None

        candles: list[Candle] = []
        unwritten: set[int] = set()
        if fresh:
            candles = self._completed(fold(trades), last)
        else:
            unwritten |= self._unwritten
            if before.oldest is not None:
                # The rows that were to complete this bucket may turn out to be stored, so nothing else would touch it.
                unwritten.add(_start(before.oldest))
            self._carry = []
        self._unwritten = frozenset()

        self._page_oldest = edge
        seen = [] if before.newest_us is None else [before.newest_us]
        if newest is not None and before.cursor is None:  # later pages are older
            seen.append(newest[0])
        moved = replace(
            before,
            tier=following[0] if following else None,
            cursor=following[1] if following else None,
            rewalk=not fresh,
            oldest=(oldest or before.oldest) if fresh else None,
            newest_us=max(seen, default=None),
            pages=before.pages + 1,
        )
        return Step(
            before.ticker,
            trades,
            fresh,
            closed(candles, 1, closed_us),
            closed(roll_up(candles, 5), 5, closed_us),
            unwritten,
            closed_us,
            moved,
            last,
            self._inherits,
            self.replacing,
        )

    def stored(self, checkpoint: Checkpoint) -> None:
        """Go on from the checkpoint that was written with the last step."""
        begins, began = (checkpoint.tier, checkpoint.cursor) == (Tier.LIVE, None), self.checkpoint.walk
        self.surplus = checkpoint.state is State.WALKING and begins and began == checkpoint.walk == 2
        self.held = self.checkpoint = checkpoint
        self.replacing, self._doubted = False, None

    def failed(self, reason: str) -> Checkpoint:
        """The checkpoint of this market once it failed: that of what is stored, not of what was to take its place."""
        return (self._doubted or self.checkpoint).failed(reason)

    @staticmethod
    def _following(now: Checkpoint, cursor: str | None, tiers: Sequence[Tier]) -> tuple[Tier, str | None] | None:
        if cursor is not None and now.tier is not None:
            return now.tier, cursor
        # The second walk asks every tier, whatever the cutoff says: that is its point.
        if now.tier is Tier.LIVE and (now.walk > 1 or Tier.HISTORICAL in tiers):
            return Tier.HISTORICAL, None
        return None

    def _completed(self, candles: list[Candle], last: bool) -> list[Candle]:
        """Join the page's candles to those carried over; keep back the bucket that the page's older edge cuts."""
        if candles and self._carry and candles[-1].start_us == self._carry[0].start_us:
            candles[-1] = merge(candles[-1], self._carry.pop(0))
        joined = candles + self._carry
        self._carry = []
        if last or not joined:
            return joined
        end = joined[0].start_us - joined[0].start_us % BUCKET_US + BUCKET_US
        cut = next((index for index, candle in enumerate(joined) if candle.start_us >= end), len(joined))
        self._carry = joined[:cut]
        return joined[cut:]


def resume_from(known: Checkpoint | None, unit: Unit) -> int | None:
    """From when on the next walk has to ask, because what is older is stored; None: from the first trade.

    Only for a market that trades and was walked to its end: the walk after it settled, which proves, asks for
    everything.
    """
    if known is None or known.state is not State.OPEN or unit.settled or known.newest_us is None:
        return None
    return known.newest_us - OVERLAP_US


def closing(known: Checkpoint, buckets: Set[int], closed_us: int) -> Step:
    """The step that writes the candles of `buckets` which ended by `closed_us`, of trades that are stored already."""
    return Step(known.ticker, [], False, [], [], buckets, closed_us, known, last=False)


def closed(candles: Sequence[Candle], minutes: int, closed_us: int | None) -> list[Candle]:
    """Those of some candles of `minutes` length that ended by `closed_us`; None: all of them."""
    width = minutes * MINUTE_US
    return [candle for candle in candles if closed_us is None or candle.start_us + width <= closed_us]


def _start(position: Position) -> int:
    """Start of the bucket that `position` lies in."""
    return position[0] - position[0] % BUCKET_US
