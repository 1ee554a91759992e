"""The walk over a market that trades: only what is new is asked for, only candles that ended are written.

Whatever happens on the way, the walk after the settlement ends with exactly the tape and its candles.
"""

from dataclasses import dataclass, field, replace
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.checkpoint import Checkpoint, State
from kalshi_ingest.domain.model import Candle, Cutoff, Tier, Trade, Unit, tiers_of, to_datetime
from kalshi_ingest.domain.walk import BUCKET_US, OVERLAP_US, Step, Walk, closed, closing, resume_from
from kalshi_ingest.errors import BadPayload
from tests.domain.test_walk import CUTOFFS, LIVE, OPEN, OPEN_US, Exchange, Tables, contracts, holds, tape, unit
from tests.support.candles import candles_of

FAR = OPEN - timedelta(days=1)
SETTLED = unit(True, None)
TRADING = unit(False, None)


class ClosedTables(Tables):
    """Tables that write only candles that ended, as `postgres.staging` does."""

    def write(self, step: Step) -> Checkpoint:
        self.checkpoint = self._fresh(step) if step.fresh else self._staged(step)
        return self.checkpoint

    def unwritten(self) -> frozenset[int]:
        """Buckets that hold trades and have no five-minute candle, as `follow.queries` finds them."""
        return frozenset({key[0] // BUCKET_US * BUCKET_US for key in self.trades} - self.fives.keys())

    def _staged(self, step: Step) -> Checkpoint:
        added = [trade for trade in step.trades if trade[:2] not in self.trades]
        self.trades |= {trade[:2]: trade for trade in added}
        for start in {trade.created_us // BUCKET_US * BUCKET_US for trade in added} | step.unwritten:
            if step.closed_us is not None and start + MINUTE_US > step.closed_us:
                continue
            rows = self._between(start, start + BUCKET_US)
            self.minutes = {at: row for at, row in self.minutes.items() if not start <= at < start + BUCKET_US}
            self.fives.pop(start, None)
            self.minutes |= {each.start_us: each for each in closed(candles_of(rows), 1, step.closed_us)}
            self.fives |= {each.start_us: each for each in closed(candles_of(rows, 5), 5, step.closed_us)}
        return step.after(len(added), contracts(added))


@dataclass
class Bounded(Exchange):
    """An exchange that heeds `min_ts`, in whole seconds, or ignores it."""

    heeds: bool = True
    bounds: list[int | None] = field(default_factory=list)

    def since(self, tier: Tier, cursor: str | None, since_us: int | None) -> tuple[list[Trade], str | None]:
        """The page at `cursor` of the trades created since then."""
        self.bounds.append(since_us)
        whole = self.tape
        if self.heeds and since_us is not None:
            self.tape = [trade for trade in whole if trade.created_us >= since_us // 1_000_000 * 1_000_000]
        try:
            return self.page(tier, cursor)
        finally:
            self.tape = whole


@dataclass
class Followed:
    """A market that is followed: the exchange shows trades as time passes, and walks come and go."""

    exchange: Bounded
    shown: list[tuple[int, Trade]]
    """(the moment from which the exchange shows it, the trade)."""
    tables: ClosedTables = field(default_factory=ClosedTables)
    now_us: int = OPEN_US
    closed_us: int = 0
    """The latest moment that any step was told."""
    promised: set[Trade] = field(default_factory=set)
    """What the exchange showed when the walk in progress asked for its first page."""

    @property
    def visible(self) -> list[Trade]:
        return [trade for moment, trade in self.shown if moment <= self.now_us]

    def walk(self, market: Unit, *, only_new: bool, pages: int = 10_000, ending: str = "killed") -> bool:
        """Walk, until it ends or for some pages; whether it came to its end."""
        self.exchange.tape = self.visible
        known = self.tables.checkpoint
        since_us = resume_from(known, market) if only_new else None
        walk = Walk(market, self._tiers(market, since_us), known, since_us=since_us, unwritten=self.tables.unwritten())
        if walk.cut_bucket is not None:
            walk.restore(self.tables.stored_candles(walk.cut_bucket, walk.cut_bucket + BUCKET_US))
        if known is None or known.state is not State.WALKING:  # else it goes on, maybe with the other tier's first page
            self.promised = set(self.visible)
        for _ in range(pages):
            if walk.position is None:
                return True
            bound = walk.checkpoint.since_us
            closed_us = None if market.settled else self.now_us
            self.closed_us = max(self.closed_us, closed_us or 0)
            page = self.exchange.since(*walk.position, bound)
            step = walk.take(*page, self._tiers(market, bound), closed_us)
            walk.stored(self.tables.write(step))
            self.check(market)
        if walk.position is None:
            return True
        if ending == "failed":
            self.tables.checkpoint = walk.checkpoint.failed("a page breaks its contract")
        return False

    def close(self) -> None:
        """Write what has ended meanwhile."""
        known = self.tables.checkpoint
        if known is not None and known.state is State.OPEN:
            self.closed_us = self.now_us
            self.tables.write(closing(known, self.tables.unwritten(), self.now_us))
            self.check(TRADING)
            missing = ended(self.tables, self.now_us) - written(self.tables)
            assert missing == set(), "after a closing step everything that ended is there"

    def check(self, market: Unit) -> None:
        """Totals are what is stored; a written candle is that of the stored trades, and its period has ended."""
        known, stored = self.tables.checkpoint, list(self.tables.trades.values())
        assert known is not None
        assert (known.trades_stored, known.contracts_stored) == (len(stored), contracts(stored))
        assert known.newest_us is None or known.newest_us <= max((each.created_us for each in stored), default=0)
        if not market.settled:
            assert written(self.tables) <= ended(self.tables, self.closed_us)

    def _tiers(self, market: Unit, since_us: int | None) -> tuple[Tier, ...]:
        cutoff = Cutoff(markets=self.exchange.cutoff, trades=self.exchange.cutoff)
        return tiers_of(market, cutoff, None if since_us is None else to_datetime(since_us))


def written(tables: Tables) -> set[tuple[int, Candle]]:
    return {(1, each) for each in tables.minutes.values()} | {(5, each) for each in tables.fives.values()}


def ended(tables: Tables, moment_us: int) -> set[tuple[int, Candle]]:
    """The candles of the stored trades that ended by then."""
    stored = sorted(tables.trades.values())
    return {
        (minutes, each)
        for minutes in (1, 5)
        for each in candles_of(stored, minutes)
        if each.start_us + minutes * MINUTE_US <= moment_us
    }


LATENESS = st.sampled_from((0, 0, 0, 1, 20_000_000, OVERLAP_US))
VERY_LATE = st.one_of(LATENESS, st.sampled_from((OVERLAP_US + 1, 17 * MINUTE_US)))


def shown(lateness: st.SearchStrategy[int]) -> st.SearchStrategy[list[tuple[int, Trade]]]:
    """Trades of half an hour with the moments at which the exchange shows them."""
    moments = st.builds(
        lambda minute, offset: OPEN_US + minute * MINUTE_US + offset,
        st.integers(0, 30),
        st.sampled_from((0, 1, 20_000_000, MINUTE_US - 1)),
    )
    trades = st.builds(
        Trade,
        moments,
        st.integers(0, 2**128 - 1).map(lambda number: number.to_bytes(16, "big")),
        st.sampled_from((400_000, 410_000, 10_000)),
        st.integers(1, 500),
        st.sampled_from((1, -1)),
        st.just(False),
    )
    late = st.builds(lambda trade, by: (trade.created_us + by, trade), trades, lateness)
    return st.lists(late, max_size=40, unique_by=lambda pair: pair[1].trade_id)


EXCHANGES = st.builds(
    Bounded,
    tape=st.just([]),
    cutoff=CUTOFFS,
    random=st.randoms(use_true_random=False),
    largest_page=st.integers(1, 7),
    seam=st.integers(0, 4),
    overlap=st.sampled_from((timedelta(0), timedelta(minutes=2), timedelta(minutes=90))),
    heeds=st.booleans(),
)
HAPPENINGS = st.lists(
    st.tuples(
        st.sampled_from(("walk", "walk", "walk", "whole", "close", "cutoff moves")),
        st.integers(0, 6 * 60).map(lambda seconds: seconds * 1_000_000),
        st.sampled_from((0, 1, 2, 3, 99, 99)),
        st.sampled_from(("killed", "failed")),
    ),
    max_size=20,
)


def lived(market: Followed, happenings: list[tuple[str, int, int, str]], *, punctual: bool) -> None:
    """Let it happen; `punctual`: no trade shows up later than a windowed walk reaches back."""
    for what, passes, pages, ending in happenings:
        market.now_us += passes
        if what == "close":
            market.close()
        elif what == "cutoff moves":
            market.exchange.cutoff += timedelta(microseconds=passes)
        elif market.walk(TRADING, only_new=what == "walk", pages=pages, ending=ending):
            known = market.tables.checkpoint
            assert known is not None
            assert (known.state, known.verdict, known.since_us, known.oldest) == ("open", None, None, None)
            if punctual:
                assert market.promised <= set(market.tables.trades.values())
                # The other tier's first page, asked later, may show newer ones; then it shows all that are older.
                assert (known.newest_us or 0) >= max((trade.created_us for trade in market.promised), default=0)


@settings(max_examples=300)
@given(EXCHANGES, shown(LATENESS), HAPPENINGS)
def test_a_walk_that_ended_holds_all_that_was_shown_when_it_began(
    exchange: Bounded, trades: list[tuple[int, Trade]], happenings: list[tuple[str, int, int, str]]
) -> None:
    lived(Followed(exchange, trades), happenings, punctual=True)


@settings(max_examples=300)
@given(EXCHANGES, shown(VERY_LATE), HAPPENINGS)
def test_whatever_happened_the_last_walk_ends_with_the_truth(
    exchange: Bounded, trades: list[tuple[int, Trade]], happenings: list[tuple[str, int, int, str]]
) -> None:
    market = Followed(exchange, trades)
    lived(market, happenings, punctual=False)
    market.now_us = OPEN_US + 3 * 60 * MINUTE_US
    truth = [trade for _, trade in trades]
    assert market.walk(unit(True, contracts(truth)), only_new=True)
    assert holds(market.tables, truth)
    known = market.tables.checkpoint
    assert known is not None
    assert (known.state, known.verdict, known.newest_us, known.since_us) == ("complete", "exact", None, None)


def open_checkpoint(*minutes: float) -> tuple[ClosedTables, Checkpoint]:
    """A trading market that was walked to its end."""
    tables = ClosedTables()
    walk = Walk(TRADING, LIVE, None)
    rows = tape(*minutes)
    known = tables.write(walk.take(rows, None, LIVE, rows[-1].created_us + BUCKET_US))
    return tables, known


def test_only_a_trading_market_that_was_walked_to_its_end_is_asked_for_what_is_new() -> None:
    _, known = open_checkpoint(1, 30)
    newest = OPEN_US + 30 * MINUTE_US
    assert known.newest_us == newest
    assert resume_from(known, TRADING) == newest - OVERLAP_US
    assert resume_from(known, SETTLED) is None, "the walk that proves asks for everything"
    assert resume_from(None, TRADING) is None
    assert resume_from(replace(known, state=State.WALKING), TRADING) is None
    assert resume_from(known.failed("why"), TRADING) is None
    assert resume_from(replace(known, newest_us=None), TRADING) is None, "nothing was seen yet"


def place(walk: Walk) -> tuple[Tier, str | None] | None:
    """Which page is next."""
    return walk.position


def windowed(known: Checkpoint) -> Walk:
    since_us = resume_from(known, TRADING)
    assert since_us is not None
    return Walk(TRADING, LIVE, known, since_us=since_us)


def test_a_walk_for_what_is_new_ends_below_its_bound_even_where_the_exchange_ignores_it() -> None:
    tables, known = open_checkpoint(*range(1, 31))
    rows = tape(*range(1, 41))
    walk = windowed(known)
    walk.stored(tables.write(walk.take(rows[35:], "a", LIVE, None)))
    assert place(walk) == (Tier.LIVE, "a"), "what is new goes on"
    walk.stored(tables.write(walk.take(rows[28:35], "b", LIVE, None)))
    assert place(walk) == (Tier.LIVE, "b"), "a trade at the bound itself is no proof"
    walk.stored(tables.write(walk.take(rows[27:28], "c", LIVE, None)))
    assert place(walk) is None
    assert walk.checkpoint.state is State.OPEN
    assert holds(tables, rows)


def test_a_walk_for_what_is_new_does_not_ask_the_other_tier_once_it_is_below_its_bound() -> None:
    tables, known = open_checkpoint(*range(1, 31))
    walk = windowed(known)
    rows = tape(*range(1, 33))
    walk.stored(tables.write(walk.take(rows[20:], None, (Tier.LIVE, Tier.HISTORICAL), None)))
    assert place(walk) is None


def test_the_newest_trade_is_told_by_the_first_page_alone() -> None:
    """A later page is read later: that it shows a newer trade says nothing about those in between."""
    tables, known = open_checkpoint(1, 30)
    walk = windowed(known)
    rows = tape(1, 30, 40, 50)
    walk.stored(tables.write(walk.take(rows[3:], "a", LIVE, None)))
    assert walk.checkpoint.newest_us == rows[3].created_us
    newer = rows[2]._replace(created_us=rows[3].created_us - 1)
    walk.stored(tables.write(walk.take([newer], "b", LIVE, None)))
    assert walk.checkpoint.newest_us == rows[3].created_us
    late = Walk(TRADING, LIVE, replace(walk.checkpoint, newest_us=OPEN_US + 10 * MINUTE_US))
    late.stored(tables.write(late.take([rows[1]], "c", LIVE, None)))
    assert late.checkpoint.newest_us == OPEN_US + 10 * MINUTE_US, "a page in the middle moves nothing"


def test_a_resumed_walk_for_what_is_new_keeps_its_bound_and_so_does_one_that_starts_over() -> None:
    tables, known = open_checkpoint(1, 30)
    walk = windowed(known)
    rows = tape(1, 30, 40, 50)
    walk.stored(tables.write(walk.take(rows[3:], "a", LIVE, None)))
    again = Walk(TRADING, LIVE, tables.checkpoint, since_us=resume_from(tables.checkpoint, TRADING))
    assert again.checkpoint.since_us == walk.checkpoint.since_us == OPEN_US + 30 * MINUTE_US - OVERLAP_US
    assert place(again) == (Tier.LIVE, "a")
    again.start_over(LIVE)
    assert again.checkpoint.since_us == walk.checkpoint.since_us
    assert place(again) == (Tier.LIVE, None)


@pytest.mark.parametrize("ending", ["failed", "settled"])
def test_after_a_failure_and_after_the_settlement_everything_is_asked_for(ending: str) -> None:
    tables, known = open_checkpoint(1, 30)
    walk = windowed(known)
    walk.stored(tables.write(walk.take(tape(1, 30, 40, 50)[3:], "a", LIVE, None)))
    broken = walk.checkpoint.failed("why") if ending == "failed" else walk.checkpoint
    market = SETTLED if ending == "settled" else TRADING
    again = Walk(market, LIVE, broken, since_us=resume_from(broken, market))
    assert again.checkpoint.since_us is None
    assert place(again) == (Tier.LIVE, None)


def test_a_loop_is_noticed_in_a_walk_for_what_is_new_too() -> None:
    tables, known = open_checkpoint(1, 30)
    walk = windowed(known)
    rows = tape(1, 30, 40)
    walk.stored(tables.write(walk.take(rows[2:], "a", LIVE, None)))
    with pytest.raises(BadPayload, match="loop"):
        walk.take(rows[2:], "b", LIVE, None)


@pytest.mark.parametrize(
    ("seconds", "minutes", "fives"),
    [(59, 0, 0), (60, 1, 0), (299, 2, 0), (300, 3, 1), (None, 3, 1)],
)
def test_candles_are_written_once_their_period_ended(seconds: int | None, minutes: int, fives: int) -> None:
    rows = tape(0, 1, 4.5)
    closed_us = None if seconds is None else OPEN_US + seconds * 1_000_000
    step = Walk(unit(seconds is None, 300), LIVE, None).take(rows, None, LIVE, closed_us)
    assert (len(step.candles), len(step.candles_5m)) == (minutes, fives)
    assert step.closed_us == closed_us
    tables = ClosedTables()
    known = tables.write(step)
    tables.write(closing(known, tables.unwritten(), OPEN_US + BUCKET_US))
    assert holds(tables, rows), "a closing step writes what was held back"


def test_a_closing_step_changes_nothing_of_the_proof() -> None:
    _, known = open_checkpoint(1, 30)
    step = closing(known, {OPEN_US}, OPEN_US)
    assert (step.trades, step.fresh, step.unwritten, step.closed_us) == ([], False, {OPEN_US}, OPEN_US)
    assert step.after(0, 0) == known, "no page of trades was asked for"


def test_the_model_heeds_its_bound_or_not() -> None:
    rows = tape(1, 2, 3)
    for heeds, expected in ((True, rows[1:]), (False, rows)):
        exchange = Bounded(rows, FAR, Random(1), largest_page=1, heeds=heeds)
        seen: list[Trade] = []
        cursor: str | None = None
        while True:
            page, cursor = exchange.since(Tier.LIVE, cursor, rows[1].created_us)
            seen += page
            if cursor is None:
                break
        assert sorted(seen) == expected
