"""One market that has not settled: when the exchange is to be asked for its trades, and when it is confirmed."""

import math
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest

from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.checkpoint import Checkpoint, State
from kalshi_ingest.domain.model import MarketSnapshot, Trade, Unit, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US
from kalshi_ingest.exchange.caching import Made
from kalshi_ingest.follow.market_state import RECHECK_SECONDS, UNSTATED_SECONDS, MarketState
from kalshi_ingest.follow.pending_candles import PendingCandles

OPENS = datetime(2025, 6, 30, 14, tzinfo=UTC)
UNIT = Unit("M", "KXHIGHCHI", date(2025, 7, 1), OPENS, OPENS + timedelta(hours=39), False, 0)
OPEN = Checkpoint("M", "KXHIGHCHI", date(2025, 7, 1), state=State.OPEN)
START = to_microseconds(OPENS)


def active(volume: int | None) -> MarketSnapshot:
    return MarketSnapshot("active", volume)


def stored(contracts: int) -> Checkpoint:
    return replace(OPEN, contracts_stored=contracts)


def trade(number: int, seconds: float = 0) -> Trade:
    return Trade(START + round(seconds * 1_000_000), number.to_bytes(16), 500_000, 100, 1, False)


def confirmed(volume: int = 100) -> MarketState:
    """A market whose trades add up to its volume since second 10."""
    market = MarketState(UNIT, stored(volume), walked_at=10.0)
    market.record_snapshot(active(volume), 10.0, 10_000_000)
    assert market.confirmed_at == 10.0
    return market


def due(market: MarketState, now: float) -> bool:
    return market.waits_until(now) <= now


def walk(market: MarketState, checkpoint: Checkpoint, began: float, began_us: int, ended: float) -> None:
    """A walk from its beginning to its end, with nothing heard meanwhile."""
    market.begin()
    market.record_walk(checkpoint, began, began_us, ended)
    market.working = False


def test_a_market_that_nobody_walked_is_asked_for_at_once() -> None:
    assert due(MarketState(UNIT, None), 0.0)
    assert due(MarketState(UNIT, replace(OPEN, state=State.WALKING)), 0.0), "a walk that broke off goes on"


def test_once_the_sum_is_the_volume_only_a_new_volume_is_a_reason() -> None:
    market = confirmed()
    for second in range(11, 300, 7):
        market.record_snapshot(active(100), float(second), second * 1_000_000)
        assert not due(market, float(second))
    assert (market.confirmed_at, market.confirmed_us) == (298.0, 298_000_000)
    market.record_snapshot(active(101), 300.0, 300_000_000)
    assert due(market, 300.0)
    assert market.confirmed_at == 298.0, "what is not stored is not vouched for"


def test_what_a_list_said_counts_from_the_start() -> None:
    assert due(MarketState(replace(UNIT, volume=200), stored(100), walked_at=0.0), 0.0)
    assert not due(MarketState(replace(UNIT, volume=100), stored(100), walked_at=0.0), 1.0)


def test_nobody_asks_twice_at_the_same_time() -> None:
    market = MarketState(UNIT, None, working=True)
    assert market.waits_until(5.0) == math.inf


def test_a_walk_that_brings_the_sum_to_the_volume_confirms_as_of_its_beginning() -> None:
    market = confirmed()
    market.record_snapshot(active(300), 20.0, 20_000_000)
    walk(market, stored(300), 21.0, 21_000_000, 22.0)
    assert (market.confirmed_at, market.confirmed_us) == (21.0, 21_000_000)
    assert not due(market, 22.0)


def test_a_list_that_lags_behind_the_trades_is_no_reason() -> None:
    market = confirmed()
    market.record_snapshot(active(200), 20.0, 20_000_000)
    walk(market, stored(300), 21.0, 21_000_000, 22.0)
    market.record_snapshot(active(200), 22.0, 22_000_000)
    assert not due(market, 22.0)
    assert market.confirmed_at == 21.0, "it proves less than the walk did"
    market.record_snapshot(active(300), 23.0, 23_000_000)
    assert not due(market, 23.0)
    assert market.confirmed_at == 23.0
    market.record_snapshot(active(400), 24.0, 24_000_000)
    assert due(market, 24.0)


def test_what_was_heard_after_a_walk_began_is_a_reason_to_walk_again_at_once() -> None:
    market = confirmed()
    market.record_snapshot(active(200), 20.0, 20_000_000)
    market.begin()
    market.record_snapshot(active(300), 22.0, 22_000_000)
    market.record_walk(stored(200), 21.0, 21_000_000, 23.0)
    market.working = False
    assert due(market, 23.0)
    assert not market.whole
    assert market.confirmed_at == 10.0, "neither the walk nor the pulse is matched by the other"


def waits(market: MarketState, now: float, seconds: float) -> float:
    """The moment after a pause that has to be so long."""
    assert not due(market, now + seconds - 0.01)
    assert due(market, now + seconds)
    return now + seconds


def test_a_late_trade_is_looked_for_a_few_times_and_then_in_everything() -> None:
    market = confirmed()
    market.record_snapshot(active(300), 20.0, 20_000_000)
    now = 20.0
    for pause in (0.6, 1.2, 2.4):
        assert not market.whole
        walk(market, stored(200), now, round(now * 1e6), now)
        now = waits(market, now, pause)
    assert market.whole, "the last resort asks for everything"
    assert not market.searched
    walk(market, stored(200), now, round(now * 1e6), now + 1)
    assert (market.confirmed_at, market.whole, market.searched) == (10.0, False, True)
    assert market.missing == 100
    now = waits(market, now + 1, 4.8)
    walk(market, stored(300), now, round(now * 1e6), now)
    assert (market.confirmed_at, market.missing) == (now, 0)


def test_a_late_trade_that_a_cache_hides_is_looked_for_once_it_forgets() -> None:
    market = confirmed()
    market.record_snapshot(active(300), 20.0, 20_000_000)
    market.begin()
    market.record_page([], Made(6_000_000, age=14.0, kept=2.0), 20.1)
    market.record_walk(stored(200), 6.0, 6_000_000, 20.1)
    market.working = False
    assert waits(market, 20.1, 2.0) == 22.1, "sooner the answer would be the same"
    assert market.confirmed_at == 10.0
    whole = []
    for at in (22.1, 24.0, 27.0):
        whole.append(market.whole)
        walk(market, stored(200), at, round(at * 1e6), at)
    assert [*whole, market.whole] == [False, False, False, True], "what could not show it is no attempt"


class Lie:
    """A market whose volume exceeds what its trades show, and time that goes on."""

    def __init__(self, volume: int, shown: int) -> None:
        self.now = 1000.0
        self.market = MarketState(replace(UNIT, volume=shown), stored(shown), walked_at=900.0)
        self.volume, self.shown = volume, shown
        self.pages: int | None = None
        """Contracts on the pages of a walk over everything; None: all that is stored."""
        self.alive = True
        """The series shows other trades meanwhile."""

    def passes(self, seconds: float) -> None:
        """The market is asked as often as it wants to be, and its volume each second."""
        end = self.now + seconds
        while self.now < end:
            self.market.record_snapshot(active(self.volume), self.now, self.us)
            if due(self.market, self.now):
                self.market.begin()
                whole = self.shown if self.pages is None else self.pages
                self.market.record_page([trade(1)._replace(size=whole)], Made(self.us), self.now)
                alive_us = self.us if self.alive else 0
                self.market.record_walk(stored(self.shown), self.now, self.us, self.now, alive_us)
                self.market.working = False
            self.now += 1

    @property
    def us(self) -> int:
        return round(self.now * 1e6)

    def believed(self) -> bool:
        """Whether the market was confirmed of late."""
        return self.market.confirmed_at is not None and self.market.confirmed_at > self.now - 2


def test_a_small_difference_that_stands_still_for_long_is_put_down_to_the_exchanges_books() -> None:
    lie = Lie(volume=20_317_00, shown=20_279_00)
    lie.passes(290)
    assert not lie.believed()
    assert (lie.market.missing, lie.market.explained) == (38_00, 0)
    lie.passes(130)
    assert lie.believed()
    assert (lie.market.missing, lie.market.explained) == (0, 38_00)
    lie.volume += 1_00
    lie.passes(30)
    assert not lie.believed(), "a difference that grows is another one"
    assert lie.market.missing == 39_00
    lie.shown += 1_00
    lie.passes(20)
    assert lie.believed()
    lie.shown = lie.volume
    lie.passes(700)
    assert lie.believed()
    assert lie.market.missing == lie.market.explained == 0


@pytest.mark.parametrize(
    ("volume", "shown", "pages", "alive"),
    [(20_317_00, 20_279_00, 0, True), (20_317_00, 20_279_00, None, False), (400_00, 300_00, None, True)],
    ids=["pages that hold less than is stored", "no trade of the series is shown any more", "a large one"],
)
def test_a_difference_that_may_be_a_lie_is_never_explained(
    volume: int, shown: int, pages: int | None, alive: bool
) -> None:
    lie = Lie(volume, shown)
    lie.pages, lie.alive = pages, alive
    lie.passes(3_000)
    assert not lie.believed()
    assert lie.market.missing == volume - shown
    lie.shown = volume
    lie.passes(15)
    assert lie.believed(), "honest again, it is found by itself"


def test_a_difference_that_grows_never_counts_as_explained() -> None:
    lie = Lie(volume=20_317_00, shown=20_279_00)
    for _ in range(20):
        lie.volume += 10
        lie.passes(200)
        assert not lie.believed()


def test_a_volume_that_stands_still_below_the_trades_shown_vouches_for_nothing() -> None:
    market = confirmed(100_00)
    walk(market, stored(105_00), 20.0, 20_000_000, 20.0)
    assert market.confirmed_at == 20.0
    for second in range(21, 30):
        market.record_snapshot(active(100_00), float(second), second * 1_000_000)
        assert market.confirmed_at == 20.0
        assert market.lags(float(second)) is (second >= 24)
    market.record_snapshot(active(105_00), 30.0, 30_000_000)
    assert not market.lags(40.0)
    assert market.confirmed_at == 30.0


def test_a_volume_that_was_made_before_the_trades_were_shown_is_not_behind() -> None:
    market = confirmed(100_00)
    walk(market, stored(105_00), 20.0, 20_000_000, 20.0)
    for second in range(11, 20):
        market.record_snapshot(active(100_00), float(second), second * 1_000_000)
    assert not market.lags(100.0)


def test_a_volume_below_its_trades_that_goes_with_them_is_put_down_to_the_exchanges_books() -> None:
    """A market whose volume leaves something out for good must not make all others doubtful."""
    market = confirmed(100_00)
    walk(market, stored(105_00), 20.0, 20_000_000, 20.0)
    for second in range(21, 26):
        market.record_snapshot(active(100_00), float(second), second * 1_000_000)
    market.record_snapshot(active(102_00), 26.0, 26_000_000)
    walk(market, stored(107_00), 26.5, 26_500_000, 26.6)
    market.record_snapshot(active(102_00), 27.0, 27_000_000)
    assert not market.lags(100.0)
    assert market.confirmed_at == 27.0


def test_what_volumes_confirmed_is_taken_back_when_they_are_doubted() -> None:
    fresh = confirmed(100_00)
    fresh.record_snapshot(active(100_00), 11.0, 11_000_000)
    fresh.distrust_volumes()
    assert fresh.confirmed_at is None, "nobody walked it"
    market = confirmed(100_00)
    walk(market, stored(100_00), 20.0, 20_000_000, 20.0)
    market.record_snapshot(active(100_00), 50.0, 50_000_000)
    market.distrust_volumes()
    assert (market.confirmed_at, market.confirmed_us) == (20.0, 20_000_000)
    assert market.waits_until(50.0, doubted=True) == 20.0 + UNSTATED_SECONDS
    market.record_snapshot(active(100_00), 51.0, 51_000_000, trusted=False)
    assert market.confirmed_at == 20.0


def test_a_late_trade_that_a_second_look_finds_is_the_end_of_it() -> None:
    market = confirmed()
    market.record_snapshot(active(300), 20.0, 20_000_000)
    walk(market, stored(200), 20.0, 20_000_000, 20.0)
    walk(market, stored(300), 21.0, 21_000_000, 21.0)
    assert not due(market, 21.0)
    market.record_snapshot(active(400), 22.0, 22_000_000)
    walk(market, stored(300), 22.0, 22_000_000, 22.0)
    waits(market, 22.0, 0.6)


def test_a_market_that_fails_is_asked_less_and_less_often_and_comes_back() -> None:
    market = confirmed()
    market.record_snapshot(active(200), 20.0, 20_000_000)
    now, pauses = 20.0, []
    for _ in range(8):
        walk(market, stored(100).failed("a page breaks its contract"), now, round(now * 1e6), now)
        assert market.failing
        pauses.append(market.waits_until(now) - now)
        now += pauses[-1]
    assert pauses == [20, 40, 80, 160, 320, 600, 600, 600]
    walk(market, stored(200), now, round(now * 1e6), now)
    assert not market.failing
    assert market.confirmed_at == now
    market.record_snapshot(active(300), now + 1, round(now * 1e6))
    walk(market, stored(300).failed("again"), now + 1, round(now * 1e6), now + 1)
    assert market.waits_until(0.0) == now + 21, "it begins anew"


def test_a_market_that_stands_still_is_looked_into_now_and_then() -> None:
    """A volume was seen that stood still while trades went on."""
    market = confirmed()
    assert market.waits_until(0.0) == 10.0 + RECHECK_SECONDS
    walk(market, stored(100), 700.0, 700_000_000, 701.0)
    assert market.waits_until(0.0) == 700.0 + RECHECK_SECONDS


def test_a_market_without_a_stated_volume_is_asked_more_often() -> None:
    market = MarketState(replace(UNIT, volume=None), stored(100), walked_at=10.0)
    market.record_snapshot(active(None), 11.0, 11_000_000)
    assert market.waits_until(0.0) == 10.0 + UNSTATED_SECONDS


@pytest.mark.parametrize("word", ["closed", "determined", "initialized", "a word of tomorrow"])
def test_a_market_that_does_not_trade_is_not_looked_into(word: str) -> None:
    market = confirmed()
    market.record_snapshot(MarketSnapshot(word, 100), 20.0, 20_000_000)
    assert market.waits_until(0.0) == math.inf
    market.record_snapshot(MarketSnapshot(word, 101), 21.0, 21_000_000)
    assert due(market, 21.0), "unless its volume moved"


def test_an_announced_trade_has_to_be_found() -> None:
    market = confirmed()
    market.expect_trade(trade(1).trade_id, 20.0)
    assert due(market, 20.0)
    market.record_snapshot(active(100), 20.5, 20_500_000)
    assert market.confirmed_at == 10.0, "not while one is known to be missing"
    walk(market, stored(100), 21.0, 21_000_000, 21.0)
    assert due(market, 21.0 + 0.6), "it was not there yet"
    market.confirm_trades([trade(2), trade(1)])
    walk(market, stored(200), 22.0, 22_000_000, 22.0)
    assert not due(market, 22.0)
    assert market.confirmed_at == 22.0


def test_an_announced_trade_that_nobody_finds_is_forgotten_after_ten_seconds() -> None:
    market = confirmed()
    market.expect_trade(trade(1).trade_id, 20.0)
    walk(market, stored(100), 29.0, 29_000_000, 29.9)
    assert market.confirmed_at == 10.0
    walk(market, stored(100), 30.0, 30_000_000, 30.0)
    assert market.confirmed_at == 30.0
    assert not due(market, 40.0)


def test_behind_a_cache_an_announced_trade_is_looked_for_for_longer_and_asked_for_less() -> None:
    market = confirmed()
    market.expect_trade(trade(1).trade_id, 20.0, cache_seconds=15.0)
    market.begin()
    market.record_page([], Made(19_000_000, age=1.0, kept=14.0), 20.0)
    market.record_walk(stored(100), 19.0, 19_000_000, 20.0)
    market.working = False
    assert waits(market, 20.0, 14.0) == 34.0, "sooner the answer would be the same"
    market.expect_trade(trade(2).trade_id, 21.0, cache_seconds=15.0)
    assert waits(market, 20.0, 14.0) == 34.0
    walk(market, stored(100), 44.9, 44_900_000, 44.9)
    assert market.confirmed_at == 10.0, "it is still looked for"
    walk(market, stored(100), 46.0, 46_000_000, 46.0)
    assert market.confirmed_at == 46.0


def test_an_older_copy_takes_nothing_back() -> None:
    market = confirmed(100)
    market.record_snapshot(active(300), 20.0, 20_000_000)
    market.record_snapshot(active(100), 15.0, 15_000_000)
    assert due(market, 20.0)
    assert market.confirmed_at == 10.0


def test_what_was_found_before_it_was_announced_does_not_count() -> None:
    market = confirmed()
    market.confirm_trades([trade(1)])
    market.expect_trade(trade(1).trade_id, 20.0)
    assert due(market, 20.0), "the walk that finds it again ends the matter"
    market.confirm_trades([trade(1)])
    assert not due(market, 20.0)


def test_an_announcement_does_not_bring_a_failing_market_back_early() -> None:
    market = confirmed()
    walk(market, stored(100).failed("why"), 20.0, 20_000_000, 20.0)
    market.expect_trade(trade(1).trade_id, 21.0)
    assert market.waits_until(21.0) == 40.0


def test_a_life_that_goes_on_is_noticed() -> None:
    market = MarketState(UNIT, stored(0))
    assert not market.record_snapshot(active(0), 1.0, 1), "the first word says nothing about a change"
    assert not market.record_snapshot(active(5), 2.0, 2)
    assert market.record_snapshot(MarketSnapshot("closed", 5), 3.0, 3)
    assert not market.record_snapshot(MarketSnapshot("closed", 5), 4.0, 4)
    assert market.record_snapshot(MarketSnapshot("finalized", 5), 5.0, 5)
    assert market.record_snapshot(MarketSnapshot("finalized", 5), 6.0, 6), "until somebody takes it away"


def test_whether_a_market_trades() -> None:
    market = MarketState(UNIT, None)
    assert market.is_open(0), "nobody has asked yet"
    for word, expected in (("active", True), ("inactive", True), ("closed", False), ("finalized", False)):
        market.record_snapshot(MarketSnapshot(word, 0), 1.0, 1)
        assert market.is_open(START) is expected
    market.record_snapshot(MarketSnapshot("initialized", 0), 1.0, 1)
    assert not market.is_open(START - 60_000_000)
    assert market.is_open(START - 10_000_000), "it opens within seconds"


def test_periods_wait_until_they_have_ended() -> None:
    unwritten = PendingCandles()
    unwritten.add_trades([trade(1, 30), trade(2, 250), trade(3, 400)], START + 200_000_000)
    assert unwritten.all() == {START, START + BUCKET_US}
    assert unwritten.minutes == {START + 4 * MINUTE_US, START + 6 * MINUTE_US}, "the first minute is written"
    assert unwritten.due(START + 299_999_999) == frozenset()
    assert unwritten.due(START + BUCKET_US) == {START}
    unwritten.written(START + BUCKET_US)
    assert unwritten.all() == {START + BUCKET_US}
    assert unwritten.due(START + 7 * MINUTE_US) == {START + BUCKET_US}
    unwritten.written(START + 7 * MINUTE_US)
    assert unwritten.minutes == set()
    assert unwritten.due(START + 9 * MINUTE_US) == frozenset(), "its minute is written, its five minutes go on"
    assert unwritten.due(START + 2 * BUCKET_US) == {START + BUCKET_US}


def test_a_bucket_found_after_a_restart_waits_with_all_its_minutes() -> None:
    unwritten = PendingCandles()
    unwritten.add_bucket(START)
    assert unwritten.due(START + MINUTE_US - 1) == frozenset()
    assert unwritten.due(START + MINUTE_US) == {START}
    unwritten.written(START + 4 * MINUTE_US)
    assert unwritten.due(START + 4 * MINUTE_US) == frozenset()
    assert unwritten.due(START + BUCKET_US) == {START}


def test_a_deficit_that_stays_while_the_volume_moves_is_accepted_too() -> None:
    """A market that is short of its volume while it trades: it must not be walked for ever."""
    market = confirmed()
    walks, volume = 0, 300
    for second in range(20, 420):
        volume += 100
        market.record_snapshot(active(volume), float(second), second * 1_000_000)
        for part in (0.1, 0.3, 0.5, 0.7, 0.9):
            if due(market, second + part):
                walks += 1
                market.begin()
                market.record_page([trade(1)._replace(size=volume - 2)], None, second + part)
                at_us = round((second + part) * 1e6)
                market.record_walk(stored(volume - 2), second + part, at_us, second + part, at_us)
                market.working = False
    assert walks <= 400 + 10
    assert market.confirmed_at is not None
    assert market.confirmed_at > 410.0


def test_a_volume_that_rises_below_what_is_stored_is_a_reason_once() -> None:
    market = MarketState(replace(UNIT, volume=100), stored(150), walked_at=0.0)
    market.record_snapshot(active(100), 1.0, 1_000_000)
    assert not due(market, 1.0)
    market.record_snapshot(active(110), 2.0, 2_000_000)
    assert due(market, 2.0)
    assert market.confirmed_at is None
    walk(market, stored(160), 3.0, 3_000_000, 3.0)
    assert not due(market, 3.0)
    assert market.confirmed_at == 3.0


def test_a_market_that_fails_for_weeks_is_still_asked() -> None:
    """Twelve hundred failures in a row: a pause that only doubled would be too large for a float."""
    market, now = confirmed(), 20.0
    for _ in range(1_200):
        now += RECHECK_SECONDS
        walk(market, stored(100).failed("a page breaks its contract"), now, round(now * 1e6), now)
        market.record_absence(now)
    assert market.waits_until(now) == now + RECHECK_SECONDS
