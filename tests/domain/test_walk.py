"""The walk: whatever the pages look like and wherever it stops, the tables end up with the tape and its candles.

`Tables` does in memory what `postgres.writer` and `postgres.staging` do in PostgreSQL, `Exchange` serves a tape in two
tiers, and `walked` is `ingest.worker` without its database.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from random import Random

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.checkpoint import Checkpoint, State, Verdict
from kalshi_ingest.domain.model import Candle, Cutoff, Tier, Trade, Unit, tiers_of, to_datetime, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US, Step, Walk
from kalshi_ingest.errors import BadPayload
from tests.support.candles import candles_of

OPEN = datetime(2026, 7, 1, 14, tzinfo=UTC)
CLOSE = OPEN + timedelta(hours=2)
OPEN_US = to_microseconds(OPEN)
TICKER = "KXHIGHCHI-26JUL02-B80.5"

Key = tuple[int, bytes]


def unit(settled: bool, volume: int | None) -> Unit:
    return Unit(TICKER, "KXHIGHCHI", date(2026, 7, 2), OPEN, CLOSE, settled, volume)


def contracts(trades: Sequence[Trade]) -> int:
    return sum(trade.size for trade in trades)


class NotFresh(Exception):
    """A row that was said to be new is there already: the primary key refuses it."""


@dataclass
class Tables:
    """The tables of one market."""

    trades: dict[Key, Trade] = field(default_factory=dict)
    minutes: dict[int, Candle] = field(default_factory=dict)
    fives: dict[int, Candle] = field(default_factory=dict)
    checkpoint: Checkpoint | None = None

    def write(self, step: Step) -> Checkpoint:
        """Store the step as a whole or not at all, and return its checkpoint."""
        self.checkpoint = self._fresh(step) if step.fresh else self._merged(step)
        return self.checkpoint

    def stored_candles(self, start: int, end: int) -> list[Candle]:
        return candles_of(self._between(start, end))

    def _fresh(self, step: Step) -> Checkpoint:
        keys = [trade[:2] for trade in step.trades]
        starts = [candle.start_us for candle in step.candles]
        fives = [candle.start_us for candle in step.candles_5m]
        if (
            any(key in self.trades for key in keys)
            or any(start in self.minutes for start in starts)
            or any(start in self.fives for start in fives)
        ):
            raise NotFresh
        assert len(set(keys)) == len(keys)
        self.trades |= dict(zip(keys, step.trades, strict=True))
        self.minutes |= dict(zip(starts, step.candles, strict=True))
        self.fives |= dict(zip(fives, step.candles_5m, strict=True))
        assert not step.unwritten
        return step.after(len(step.trades), contracts(step.trades))

    def _merged(self, step: Step) -> Checkpoint:
        added = [trade for trade in step.trades if trade[:2] not in self.trades]
        self.trades |= {trade[:2]: trade for trade in added}
        touched = {trade.created_us // BUCKET_US * BUCKET_US for trade in added}
        touched |= step.unwritten
        for start in touched:
            rows = self._between(start, start + BUCKET_US)
            self.minutes = {at: row for at, row in self.minutes.items() if not start <= at < start + BUCKET_US}
            self.fives.pop(start, None)
            self.minutes |= {candle.start_us: candle for candle in candles_of(rows)}
            self.fives |= {candle.start_us: candle for candle in candles_of(rows, 5)}
        assert step.candles == step.candles_5m == []
        return step.after(len(added), contracts(added))

    def _between(self, start: int, end: int) -> list[Trade]:
        return [trade for trade in self.trades.values() if start <= trade.created_us < end]


@dataclass
class Exchange:
    """Serves a tape, newest first, in pages cut at random, with rows repeated at seams, from two tiers."""

    tape: list[Trade]
    cutoff: datetime
    random: Random
    largest_page: int = 7
    seam: int = 0
    overlap: timedelta = timedelta(0)
    asked: list[tuple[Tier, str | None]] = field(default_factory=list)

    def page(self, tier: Tier, cursor: str | None) -> tuple[list[Trade], str | None]:
        """A page ascending, as the parser leaves it, and the next page's cursor."""
        self.asked.append((tier, cursor))
        rows = sorted(filter(self._serves(tier), self.tape), reverse=True)
        start = sum(_cursor(row) >= cursor for row in rows) if cursor is not None else 0
        length = self.random.randint(1, self.largest_page)
        end = min(len(rows), start + length)
        page = rows[max(0, start - self.random.randint(0, self.seam)) if start else 0 : end]
        # A page that ends exactly at the last row may or may not know that it was the last.
        more = end < len(rows) or (end > start and self.random.random() < 0.5)
        return page[::-1], _cursor(rows[end - 1]) if more else None

    def _serves(self, tier: Tier) -> Callable[[Trade], bool]:
        border = to_microseconds(self.cutoff)
        live_from = border - self.overlap // timedelta(microseconds=1)
        if tier is Tier.LIVE:
            return lambda trade: trade.created_us >= live_from
        return lambda trade: trade.created_us < border


def _cursor(trade: Trade) -> str:
    return f"{trade.created_us:020d}{trade.trade_id.hex()}"


@dataclass
class Mishap:
    """What ends a run after so many pages: killed, failed, or killed and then its cursor is refused."""

    pages: int
    kind: str
    cutoff_moves: timedelta = timedelta(0)


def walked(tables: Tables, exchange: Exchange, market: Unit, mishap: Mishap | None = None) -> None:
    """One run over one market, as `ingest.worker` does it, with what must be true after every step."""

    def tiers() -> tuple[Tier, ...]:
        return tiers_of(market, Cutoff(markets=exchange.cutoff, trades=exchange.cutoff))

    walk = Walk(market, tiers(), tables.checkpoint)
    if walk.cut_bucket is not None:
        walk.restore(tables.stored_candles(walk.cut_bucket, walk.cut_bucket + BUCKET_US))
    resumed = walk.checkpoint.cursor is not None
    for page in range(10_000):
        if walk.position is None:
            return
        if mishap is not None and page == mishap.pages:
            exchange.cutoff += mishap.cutoff_moves
            if mishap.kind == "killed":
                return
            if mishap.kind == "failed":
                tables.checkpoint = walk.checkpoint.failed("a page breaks its contract")
                return
        if resumed and mishap is not None and mishap.kind == "cursor refused":
            resumed = False
            walk.start_over(tiers())
            continue
        trades, cursor = exchange.page(*walk.position)
        step = walk.take(trades, cursor, tiers())
        assert len(walk._carry) <= 5
        try:
            walk.stored(tables.write(step))
        except NotFresh:
            pytest.fail("a step claimed rows as new that are stored")
        check(tables)
    pytest.fail("the walk does not end")


def check(tables: Tables) -> None:
    """Totals are what is stored, and at most the bucket that the last page cut lacks its candles."""
    known = tables.checkpoint
    assert known is not None
    stored = list(tables.trades.values())
    assert known.trades_stored == len(stored)
    assert known.contracts_stored == contracts(stored)
    assert known.pages > 0
    cut = None if known.oldest is None else known.oldest[0] // BUCKET_US * BUCKET_US
    for minutes, written in ((1, tables.minutes), (5, tables.fives)):
        expected = {candle.start_us: candle for candle in candles_of(stored, minutes)}
        if cut is not None:
            expected = {start: candle for start, candle in expected.items() if start // BUCKET_US * BUCKET_US != cut}
        assert written == expected


def holds(tables: Tables, tape: Sequence[Trade]) -> bool:
    """Whether the tables hold exactly this tape and exactly its candles."""
    return (
        sorted(tables.trades.values()) == sorted(tape)
        and [tables.minutes[start] for start in sorted(tables.minutes)] == candles_of(tape)
        and [tables.fives[start] for start in sorted(tables.fives)] == candles_of(tape, 5)
    )


MOMENTS = st.builds(
    lambda minute, offset: OPEN_US + minute * MINUTE_US + offset,
    st.integers(0, 30),
    st.sampled_from((0, 1, 20_000_000, MINUTE_US - 1)),
)
TAPES = st.lists(
    st.builds(
        Trade,
        MOMENTS,
        st.integers(0, 2**128 - 1).map(lambda number: number.to_bytes(16, "big")),
        st.sampled_from((400_000, 410_000, 420_000, 10_000)),
        st.integers(1, 500),
        st.sampled_from((1, -1)),
        st.just(False),
    ),
    max_size=40,
    unique_by=lambda trade: trade.trade_id,
)
CUTOFFS = st.integers(-10, 40).map(lambda minutes: OPEN + timedelta(minutes=minutes))
EXCHANGES = st.builds(
    Exchange,
    tape=TAPES,
    cutoff=CUTOFFS,
    random=st.randoms(use_true_random=False),
    largest_page=st.integers(1, 7),
    seam=st.integers(0, 4),
    overlap=st.sampled_from((timedelta(0), timedelta(minutes=2), timedelta(minutes=90))),
)
MISHAPS = st.lists(
    st.builds(
        Mishap,
        st.integers(0, 8),
        st.sampled_from(("killed", "failed", "cursor refused")),
        st.sampled_from((timedelta(0), timedelta(minutes=3), timedelta(minutes=20))),
    ),
    max_size=5,
)


@settings(max_examples=200)
@given(EXCHANGES)
def test_a_whole_walk_ends_with_the_tape_and_its_candles(exchange: Exchange) -> None:
    tables = Tables()
    walked(tables, exchange, unit(True, contracts(exchange.tape)))
    assert holds(tables, exchange.tape)
    known = tables.checkpoint
    assert known is not None
    assert (known.state, known.verdict, known.walk) == ("complete", "exact", 1), "exact is never walked twice"
    assert (known.oldest, known.tier, known.cursor) == (None, None, None)


@settings(max_examples=400)
@given(EXCHANGES, MISHAPS, st.integers(0, 40), st.integers(0, 3))
def test_restarts_failures_and_settlement_in_between_change_nothing(
    exchange: Exchange, mishaps: list[Mishap], traded_later: int, settles_before: int
) -> None:
    """Runs that end badly, the first of them over an unsettled market that goes on trading, then a good run."""
    tables = Tables()
    tape = sorted(exchange.tape)
    for number, mishap in enumerate(mishaps):
        settled = number >= settles_before
        if not settled:
            exchange.tape = tape[: max(0, len(tape) - traded_later)]
        else:
            exchange.tape = tape
        before = tables.checkpoint
        if before is not None and before.state is State.COMPLETE:
            break  # the plan gives no complete market to a walker
        walked(tables, exchange, unit(settled, contracts(tape) if settled else 1), mishap)
        if not settled and tables.checkpoint is not None:
            assert tables.checkpoint.state is not State.COMPLETE, "it was not settled when its walk began"
    exchange.tape = tape
    walked(tables, exchange, unit(True, contracts(tape)))
    assert holds(tables, tape)
    assert tables.checkpoint is not None
    assert (tables.checkpoint.state, tables.checkpoint.verdict) == ("complete", "exact")


@given(EXCHANGES, st.sampled_from((-1, 1, None)))
def test_what_does_not_add_up_is_walked_once_more_over_both_tiers_and_then_accepted(
    exchange: Exchange, difference: int | None
) -> None:
    assume(bool(exchange.tape) or difference != 1)
    tables = Tables()
    volume = None if difference is None else contracts(exchange.tape) + difference
    said = {-1: "over", 1: "short", None: "unknown"}[difference]
    walked(tables, exchange, unit(True, volume))
    assert holds(tables, exchange.tape)
    known = tables.checkpoint
    assert known is not None
    assert (known.state, known.verdict, known.walk) == ("complete", said, 2)
    starts = [tier for tier, cursor in exchange.asked if cursor is None]
    assert starts[-2:] == [Tier.LIVE, Tier.HISTORICAL]
    assert len(starts) in (3, 4), "once over the tiers it needs, once over both"


def test_a_volume_without_a_single_trade_is_no_shortfall() -> None:
    exchange = Exchange([], OPEN, Random(1))
    with pytest.raises(BadPayload, match="states a volume and shows no trade"):
        walked(Tables(), exchange, unit(True, 1))
    assert [tier for tier, _ in exchange.asked][-2:] == [Tier.LIVE, Tier.HISTORICAL]


@given(EXCHANGES, st.integers(0, 20))
def test_the_second_walk_finds_what_the_first_did_not_get(exchange: Exchange, hidden: int) -> None:
    """The first walk is given a shortened tape, as by a cutoff that moved unnoticed."""
    whole = sorted(exchange.tape)
    tables = Tables()
    exchange.tape = whole[hidden:]
    volume = contracts(whole)
    # The first walk alone: stop where the second begins.
    market = unit(True, volume)
    walk = Walk(market, (Tier.LIVE,), None)
    exchange.cutoff = OPEN - timedelta(days=1)
    while walk.checkpoint.walk == 1 and walk.position is not None:
        page = exchange.page(*walk.position)
        walk.stored(tables.write(walk.take(*page, (Tier.LIVE,))))
    exchange.tape = whole
    walked(tables, exchange, market)
    assert holds(tables, whole)
    assert tables.checkpoint is not None
    assert tables.checkpoint.verdict is Verdict.EXACT


@given(EXCHANGES, st.integers(0, 6))
def test_the_second_walk_survives_a_restart(exchange: Exchange, pages: int) -> None:
    assume(bool(exchange.tape))
    tables = Tables()
    market = unit(True, contracts(exchange.tape) + 1)
    while tables.checkpoint is None or tables.checkpoint.state is not State.COMPLETE:
        walked(tables, exchange, market, Mishap(pages + 1, "killed"))
    assert holds(tables, exchange.tape)
    assert (tables.checkpoint.verdict, tables.checkpoint.walk) == ("short", 2)


@given(EXCHANGES)
def test_walking_complete_ground_again_changes_nothing(exchange: Exchange) -> None:
    tables = Tables()
    walked(tables, exchange, unit(False, 0))
    assert tables.checkpoint is not None
    assert (tables.checkpoint.state, tables.checkpoint.verdict) == ("open", None)
    walked(tables, exchange, unit(True, contracts(exchange.tape)))
    assert holds(tables, exchange.tape)
    assert (tables.checkpoint.state, tables.checkpoint.verdict) == ("complete", "exact")
    assert tables.checkpoint.trades_stored == len(exchange.tape)


def tape(*minutes: float) -> list[Trade]:
    """Trades at these minutes after the opening."""
    return [
        Trade(OPEN_US + int(minute * MINUTE_US), index.to_bytes(16, "big"), 500_000, 100, 1, False)
        for index, minute in enumerate(minutes)
    ]


LIVE = (Tier.LIVE,)
BOTH = (Tier.LIVE, Tier.HISTORICAL)


def test_a_market_without_trades() -> None:
    walk = Walk(unit(True, 0), LIVE, None)
    tables = Tables()
    walk.stored(tables.write(walk.take([], None, LIVE)))
    assert walk.position is None
    assert (walk.checkpoint.state, walk.checkpoint.verdict) == ("complete", "exact")


def test_a_page_that_reaches_no_further_back_is_a_loop() -> None:
    older, newer, newest = tape(1, 10, 11)
    walk = Walk(unit(True, 300), LIVE, None)
    tables = Tables()
    walk.stored(tables.write(walk.take([newer], "a", LIVE)))
    for repeated in ([newer], [newer, newest]):
        with pytest.raises(BadPayload, match=f"{TICKER}.*loop"):
            walk.take(repeated, "b", LIVE)
    walk.stored(tables.write(walk.take([older], None, LIVE)))
    assert holds(tables, [older, newer])


def test_a_last_page_that_only_repeats_is_no_loop() -> None:
    """A full page was the last, and the exchange repeats its last rows on the empty page behind it."""
    rows = tape(1, 2, 3)
    tables = Tables()
    walk = Walk(unit(True, 300), LIVE, None)
    walk.stored(tables.write(walk.take(rows, "a", LIVE)))
    walk.stored(tables.write(walk.take(rows[:2], None, LIVE)))
    assert holds(tables, rows)
    assert walk.checkpoint.verdict is Verdict.EXACT


def test_the_historical_tier_may_begin_with_newer_rows_than_the_live_tier_ended_with() -> None:
    rows = tape(1, 2, 3, 8)
    tables = Tables()
    walk = Walk(unit(True, 400), BOTH, None)
    walk.stored(tables.write(walk.take(rows[1:], None, BOTH)))
    assert walk.position == (Tier.HISTORICAL, None)
    walk.stored(tables.write(walk.take(rows[:3], None, BOTH)))
    assert holds(tables, rows)


def test_the_historical_tier_is_asked_when_the_border_passed_the_market_meanwhile() -> None:
    rows = tape(1, 2)
    walk = Walk(unit(True, 200), LIVE, None)
    tables = Tables()
    walk.stored(tables.write(walk.take(rows[1:], None, BOTH)))
    assert walk.position == (Tier.HISTORICAL, None)


@pytest.mark.parametrize("ending", ["failed", "settled meanwhile", "cursor refused"])
def test_the_candles_of_the_bucket_that_a_broken_off_walk_cut_are_not_forgotten(ending: str) -> None:
    """The cut bucket holds no older trade, so no later page adds to it."""
    rows = tape(1, 21, 22)
    exchange = Exchange(rows, OPEN, Random(1))
    tables = Tables()
    walk = Walk(unit(ending != "settled meanwhile", 300), LIVE, None)
    walk.stored(tables.write(walk.take(rows[1:], "00", LIVE)))
    assert tables.minutes == {}, "the page may have cut its oldest bucket"
    if ending == "failed":
        tables.checkpoint = walk.checkpoint.failed("anything")
    if ending == "cursor refused":
        walked(tables, exchange, unit(True, 300), Mishap(99, "cursor refused"))
    else:
        walked(tables, exchange, unit(True, 300))
    assert holds(tables, rows)


def test_failing_twice_before_anything_is_stored_again_does_not_forget_the_cut_bucket_either() -> None:
    rows = tape(1, 21, 22)
    tables = Tables()
    walk = Walk(unit(True, 300), LIVE, None)
    tables.checkpoint = tables.write(walk.take(rows[1:], "a", LIVE)).failed("once")
    tables.checkpoint = Walk(unit(True, 300), LIVE, tables.checkpoint).checkpoint.failed("twice")
    walked(tables, Exchange(rows, OPEN, Random(1)), unit(True, 300))
    assert holds(tables, rows)


def test_a_failed_market_says_why_and_claims_nothing() -> None:
    walk = Walk(unit(True, 300), LIVE, None)
    known = Tables().write(walk.take(tape(1, 2), "a", LIVE)).failed("field count_fp is 0")
    assert (known.state, known.error, known.verdict) == ("failed", "field count_fp is 0", None)
    assert known.tier is known.cursor is None
    again = Walk(unit(True, 300), LIVE, known)
    assert again.position == (Tier.LIVE, None)
    assert again.checkpoint.error is None
    assert again.checkpoint.trades_stored == 2


def test_a_walk_goes_on_where_its_checkpoint_says() -> None:
    tables = Tables()
    walk = Walk(unit(True, 300), LIVE, None)
    walk.stored(tables.write(walk.take(tape(20, 21), "a", LIVE)))
    again = Walk(unit(True, 350), LIVE, tables.checkpoint)
    assert again.position == (Tier.LIVE, "a")
    assert again.cut_bucket == OPEN_US + 20 * MINUTE_US
    assert again.checkpoint == replace(walk.checkpoint, exchange_volume=350), "the volume may be read anew"


def test_restore_keeps_no_more_than_the_cut_bucket() -> None:
    """Whoever restores may hand over newer candles too: they are written already."""
    rows = tape(1, 20, 21, 40)
    tables = Tables()
    walk = Walk(unit(True, 400), LIVE, None)
    walk.stored(tables.write(walk.take(rows[1:], "a", LIVE)))
    again = Walk(unit(True, 400), LIVE, tables.checkpoint)
    assert again.cut_bucket is not None
    again.restore(tables.stored_candles(again.cut_bucket, to_microseconds(CLOSE)))
    again.stored(tables.write(again.take(rows[:1], None, LIVE)))
    assert holds(tables, rows)


def test_the_pages_of_the_model_are_pages_of_the_tape() -> None:
    """The test's own exchange serves everything it should: each tier's rows, in order, each at least once."""
    rows = tape(*range(50))
    exchange = Exchange(rows, to_datetime(rows[20].created_us), Random(3), seam=2)
    for tier, expected in ((Tier.LIVE, rows[20:]), (Tier.HISTORICAL, rows[:20])):
        seen: set[Trade] = set()
        cursor: str | None = None
        while True:
            page, cursor = exchange.page(tier, cursor)
            assert page == sorted(page)
            seen |= set(page)
            if cursor is None:
                break
        assert sorted(seen) == expected
