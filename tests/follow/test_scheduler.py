"""What is asked next: never twice for one reason, everybody in turn, and proofs are not put off for ever."""

import asyncio
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

import pytest

from kalshi_ingest.domain.candles import MINUTE_US
from kalshi_ingest.domain.checkpoint import Checkpoint, State, Task
from kalshi_ingest.domain.model import MarketSnapshot, Trade, Unit, to_microseconds
from kalshi_ingest.domain.walk import BUCKET_US
from kalshi_ingest.exchange.api import TradePage
from kalshi_ingest.follow.scheduler import Scheduler, WorkItem
from kalshi_ingest.ingest.page_age import GUARD_US
from tests.support.patience import COMES

SERIES = "KXHIGHCHI"
OPENS = datetime(2025, 6, 30, 14, tzinfo=UTC)
OPENS_US = to_microseconds(OPENS)
DAY = date(2025, 7, 1)


@dataclass
class Clocks:
    """Both clocks, moved by hand and together; `now` is in seconds after the opening."""

    now: float = 0.0

    def steady(self) -> float:
        return self.now

    def exchange(self) -> int:
        return OPENS_US + round(self.now * 1_000_000)


@dataclass
class Desk:
    """A book and what the tests do with it."""

    clocks: Clocks
    scheduler: Scheduler

    def put(self, *names: str, known: State | None = State.OPEN, settled: bool = False, contracts: int = 0) -> None:
        """Markets as a list shows them, each `contracts` large and with as many stored."""
        tasks = []
        for name in names:
            unit = Unit(name, SERIES, DAY, OPENS, OPENS + timedelta(hours=39), settled, contracts)
            checkpoint = None if known is None else checkpoint_of(name, known, contracts)
            tasks.append(Task(unit, checkpoint))
        self.scheduler.put(SERIES, tasks)

    def hear(self, **volumes: int) -> set[str]:
        """All of them trade, and have got so far."""
        market_snapshots = {name: MarketSnapshot("active", volume) for name, volume in volumes.items()}
        return self.scheduler.record_snapshots(list(volumes), market_snapshots, self.clocks.now, self.clocks.exchange())

    def next(self) -> WorkItem | None:
        return self.scheduler._next()

    def end(self, item: WorkItem | None, contracts: int = 0, state: State = State.OPEN) -> None:
        """The work ended so, a second later."""
        assert item is not None
        self.clocks.now += 1
        self.scheduler.complete(item, checkpoint_of(item.task.unit.ticker, state, contracts))

    def waiting(self) -> list[str]:
        """Who would be next, in this order, without an end of their work."""
        found = []
        while (item := self.next()) is not None:
            found.append(item.task.unit.ticker)
        return found


def checkpoint_of(ticker: str, state: State, contracts: int = 0) -> Checkpoint:
    known = Checkpoint(ticker, SERIES, DAY, state=state, contracts_stored=contracts, newest_us=OPENS_US)
    return known.failed("a page breaks its contract") if state is State.FAILED else known


def desk(unwritten: Mapping[str, AbstractSet[int]] | None = None) -> Desk:
    clocks = Clocks()
    return Desk(clocks, Scheduler(clocks.steady, clocks.exchange, unwritten or {}))


def trade(seconds: float, number: int = 1) -> Trade:
    return Trade(OPENS_US + round(seconds * 1_000_000), number.to_bytes(16), 500_000, 100, 1, False)


def test_only_markets_whose_volume_moved_are_asked() -> None:
    at = desk()
    at.put("A", "B", "C")
    assert at.waiting() == []
    at.hear(A=0, B=5, C=0)
    item = at.next()
    assert item is not None
    assert (item.task.unit.ticker, item.task.only_new, item.closed_us) == ("B", True, None)
    assert at.next() is None, "somebody is at work on it"
    at.hear(A=0, B=5, C=0)
    assert at.next() is None
    at.end(item, contracts=5)
    assert at.next() is None, "nothing is asked twice for one reason"


def test_markets_that_were_never_walked_are_asked_for_everything() -> None:
    at = desk()
    at.put("A", known=None)
    item = at.next()
    assert item is not None
    assert item.task.known is None


def test_who_was_walked_longest_ago_is_next() -> None:
    at = desk()
    for name in ("C", "A", "B"):
        at.put(name)
        at.clocks.now += 1
    at.hear(A=1, B=1, C=1)
    item = at.next()
    assert item is not None
    assert item.task.unit.ticker == "C"
    at.end(item, contracts=1)
    at.hear(A=1, B=1, C=2)
    at.clocks.now += 1
    at.put("D")
    at.hear(A=1, B=1, C=2, D=1)
    assert at.waiting() == ["A", "B", "C", "D"], "who comes new has waited for the shortest time"


def test_every_fourth_piece_of_work_is_a_proof() -> None:
    at = desk()
    at.put("S1", "S2", "S3", settled=True)
    at.put(*(f"M{number}" for number in range(6)))
    at.hear(**{f"M{number}": 1 for number in range(6)})
    found = at.waiting()
    assert found[3] == "S1"
    assert found[7] == "S2"
    assert sorted(found) == ["M0", "M1", "M2", "M3", "M4", "M5", "S1", "S2", "S3"]
    assert not at.scheduler.caught_up, "they are being walked"


def test_a_settled_market_that_is_listed_again_is_not_walked_twice() -> None:
    at = desk()
    at.put("S", settled=True)
    item = at.next()
    at.put("S", settled=True)
    assert at.waiting() == []
    assert "S" in at.scheduler
    at.end(item, state=State.COMPLETE)
    assert "S" not in at.scheduler
    assert at.scheduler.caught_up


def test_a_market_that_settles_is_proved_with_all_its_candles() -> None:
    at = desk()
    at.put("A", contracts=100)
    at.scheduler.record_page(Task(unit_of(at, "A"), None), TradePage([trade(10)], None), OPENS_US)
    at.put("A", settled=True, contracts=100)
    item = at.next()
    assert item is not None
    assert (item.task.unit.settled, item.task.only_new, item.closed_us) == (True, False, None)
    assert item.task.unwritten == {OPENS_US}
    assert at.scheduler.tickers(trading=True) == at.scheduler.tickers(trading=False) == []


def unit_of(at: Desk, name: str) -> Unit:
    return at.scheduler._markets[name].unit


def test_a_market_that_settles_while_somebody_is_at_work_on_it_is_proved_next() -> None:
    at = desk()
    at.put("A")
    at.hear(A=100)
    item = at.next()
    at.put("A", settled=True, contracts=100)
    assert at.next() is None, "two at work on one market would tread on each other's feet"
    at.end(item, contracts=100)
    proof = at.next()
    assert proof is not None
    assert proof.task.unit.settled
    assert proof.task.known is not None
    assert proof.task.known.contracts_stored == 100, "it goes on from what the other stored"
    at.end(proof, state=State.COMPLETE)
    assert "A" not in at.scheduler


def test_a_market_that_is_gone_or_went_on_has_its_lists_read() -> None:
    at = desk()
    at.put("A", "B", "C")
    assert at.hear(A=0, B=0) == set()
    gone = at.scheduler.record_snapshots(["A", "B"], {"A": MarketSnapshot("active", 0)}, 1.0, OPENS_US)
    assert gone == {SERIES}, "the live tier no longer shows B"
    assert at.scheduler.record_snapshots(["A"], {"A": MarketSnapshot("closed", 0)}, 2.0, OPENS_US) == {SERIES}
    assert at.scheduler.record_snapshots(["X"], {}, 2.0, OPENS_US) == set(), "nobody follows it"


def test_who_trades_and_who_waits() -> None:
    at = desk()
    at.put("A", "B", "C")
    market_snapshots = {
        "A": MarketSnapshot("active", 0),
        "B": MarketSnapshot("closed", 0),
        "C": MarketSnapshot("determined", 0),
    }
    at.scheduler.record_snapshots(["A", "B", "C"], market_snapshots, 0.0, OPENS_US)
    assert at.scheduler.tickers(trading=True) == ["A"]
    assert at.scheduler.tickers(trading=False) == ["B", "C"]
    at.hear(A=5)
    at.put("S", settled=True)
    assert at.scheduler.counts(SERIES) == (1, 3, 2), "trading, not settled, and A and S wait"
    assert at.scheduler.counts("KXHIGHMIA") == (0, 0, 0)


def test_a_failing_market_does_not_keep_the_others_waiting() -> None:
    at = desk()
    at.put("A", "B")
    at.hear(A=5, B=0)
    at.end(at.next(), state=State.FAILED)
    at.hear(A=6, B=6)
    assert at.waiting() == ["B"]
    at.clocks.now += 20
    assert at.waiting() == ["A"]


# How fresh the data are.


def test_fresh_as_the_least_confirmed_of_those_that_trade() -> None:
    at = desk()
    assert at.scheduler.fresh_at(SERIES) == (False, None), "nothing trades"
    at.put("A", "B")
    assert at.scheduler.fresh_at(SERIES) == (True, None)
    at.clocks.now = 5
    at.hear(A=0)
    assert at.scheduler.fresh_at(SERIES) == (True, None), "nobody has heard of B"
    at.clocks.now = 6
    at.hear(B=0)
    assert at.scheduler.fresh_at(SERIES) == (True, 5)
    at.clocks.now = 7
    at.hear(A=0, B=9)
    assert at.scheduler.fresh_at(SERIES) == (True, 6), "B has trades that are not stored"
    item = at.next()
    at.clocks.now = 8
    at.hear(A=0)
    assert at.scheduler.fresh_at(SERIES) == (True, 6)
    at.end(item, contracts=9)
    assert at.scheduler.fresh_at(SERIES) == (True, 7), "all that was shown when the walk began"
    assert at.scheduler.fresh_at("KXHIGHMIA") == (False, None)


def test_a_failing_market_is_not_vouched_for_and_one_that_does_not_trade_does_not_count() -> None:
    at = desk()
    at.put("A", "B", "C")
    at.hear(A=0, B=3)
    at.scheduler.record_snapshots(["C"], {"C": MarketSnapshot("closed", 3)}, 0.0, OPENS_US)
    at.clocks.now = 5
    assert not at.scheduler.caught_up
    for _ in range(2):
        item = at.next()
        assert item is not None
        at.end(item, state=State.FAILED)
    at.hear(A=0)
    assert at.scheduler.fresh_at(SERIES) == (True, None)
    assert at.scheduler.caught_up, "waiting for it would be waiting for ever"


# Candles.


def paged(at: Desk, name: str, *seconds: float, closed: float = 0) -> None:
    """A page of trades is committed; candles that end later than `closed` were held back."""
    rows = [trade(each, number) for number, each in enumerate(seconds)]
    at.scheduler.record_page(Task(unit_of(at, name), None), TradePage(rows, None), OPENS_US + round(closed * 1_000_000))


def desk_with_unwritten_candles() -> Desk:
    """A market whose first candles are over and wait, because 7 contracts more are stated than stored."""
    at = desk()
    at.put("A")
    paged(at, "A", 30)
    at.clocks.now = 100
    at.hear(A=7)
    return at


def due(at: Desk) -> tuple[AbstractSet[int], int] | None:
    item = at.next()
    if item is None:
        return None
    assert item.closed_us is not None, "a walk was not expected"
    found = item.task.unwritten, item.closed_us
    at.scheduler.complete(item, checkpoint_of(item.task.unit.ticker, State.OPEN))
    return found


def test_candles_are_written_once_a_look_at_the_exchange_confirmed_their_end() -> None:
    at = desk()
    at.put("A")
    paged(at, "A", 30, 270)
    at.clocks.now = 61.9
    at.hear(A=0)
    assert due(at) is None, "a trade of that minute may show up a little late"
    at.clocks.now = 62
    assert due(at) is None, "time alone proves nothing"
    at.hear(A=0)
    assert due(at) == ({OPENS_US}, OPENS_US + MINUTE_US)
    assert due(at) is None
    at.clocks.now = 302
    at.hear(A=0)
    assert due(at) == ({OPENS_US}, OPENS_US + BUCKET_US)
    assert due(at) is None


def test_candles_wait_for_trades_that_are_known_to_be_missing() -> None:
    at = desk_with_unwritten_candles()
    item = at.next()
    assert item is not None
    assert item.closed_us is None, "trades first"
    assert item.task.unwritten == {OPENS_US}, "the walk writes what has ended"
    at.end(item, contracts=7)
    assert at.scheduler._markets["A"].unwritten.minutes == set()
    assert at.scheduler._markets["A"].unwritten.buckets == {OPENS_US}
    assert due(at) is None


def test_trades_come_before_candles_and_candles_before_proofs() -> None:
    at = desk()
    at.put("A", "B")
    at.put("S", settled=True)
    paged(at, "A", 30)
    at.clocks.now = 100
    at.hear(A=0, B=7)
    assert at.waiting() == ["B", "A", "S"]


def test_what_a_failing_walk_was_to_write_is_not_forgotten() -> None:
    at = desk_with_unwritten_candles()
    at.end(at.next(), state=State.FAILED)
    assert at.scheduler._markets["A"].unwritten.minutes == at.scheduler._markets["A"].unwritten.buckets == {OPENS_US}


def test_what_a_walk_without_an_answer_does_not_write_is_not_forgotten() -> None:
    """No tier names the market, so nothing shows up to when its candles are whole."""
    at = desk_with_unwritten_candles()
    item = at.next()
    assert item is not None
    at.scheduler.record_page(item.task, TradePage([], None), 0)
    at.end(item, contracts=7)
    assert at.scheduler._markets["A"].unwritten.minutes == at.scheduler._markets["A"].unwritten.buckets == {OPENS_US}


def test_what_a_walk_that_goes_on_does_not_write_is_not_forgotten() -> None:
    """A walk that broke off goes on with older pages, which are new: it leaves alone what its first pages held back."""
    at = desk({"A": {OPENS_US}})
    at.put("A", known=State.WALKING)
    at.clocks.now = 100
    item = at.next()
    at.end(item, contracts=0)
    at.hear(A=0)
    assert due(at) == ({OPENS_US}, OPENS_US + 101 * 1_000_000 - GUARD_US)


def test_buckets_that_waited_when_the_service_started_are_written() -> None:
    at = desk({"A": {OPENS_US, OPENS_US + BUCKET_US}, "S": {OPENS_US}})
    at.put("A")
    at.put("S", settled=True)
    at.clocks.now = 302
    at.hear(A=0)
    assert due(at) == ({OPENS_US}, OPENS_US + BUCKET_US)
    item = at.next()
    assert item is not None
    assert item.task.unit.ticker == "S"
    assert item.task.unwritten == {OPENS_US}


# Announcements.


def test_an_announced_trade_is_asked_for_and_found() -> None:
    at = desk()
    at.put("A")
    at.hear(A=0)
    at.scheduler.expect_trade("A", trade(5, 9).trade_id)
    at.scheduler.expect_trade("X", trade(5, 9).trade_id)
    item = at.next()
    assert item is not None
    paged(at, "A", *range(10))
    at.end(item, contracts=1_000)
    assert at.next() is None


async def test_an_announcement_wakes_whoever_waits() -> None:
    at = desk()
    at.put("A")
    waiting = asyncio.ensure_future(at.scheduler.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    at.scheduler.expect_trade("A", trade(5).trade_id)
    item = await asyncio.wait_for(waiting, 0.4)
    assert item.task.unit.ticker == "A"


@pytest.mark.parametrize("turns", range(6))
async def test_a_worker_that_is_stopped_while_it_wakes_up_ends(turns: int) -> None:
    """Python 3.11's `asyncio.wait_for` takes a cancellation for the end of the waiting; a session would never end."""
    at = desk()
    waiting = asyncio.ensure_future(at.scheduler.take())
    for _ in range(3):
        await asyncio.sleep(0)
    at.hear()
    for _ in range(turns):
        await asyncio.sleep(0)
    waiting.cancel()
    done, _ = await asyncio.wait([waiting], timeout=0.2)
    assert done
    assert waiting.cancelled()


async def test_time_that_passes_is_noticed() -> None:
    """A market that backs off becomes due without anybody saying so."""
    at = desk()
    at.put("A")
    at.hear(A=5)
    at.end(at.next(), state=State.FAILED)
    waiting = asyncio.ensure_future(at.scheduler.take())
    await asyncio.sleep(0)
    at.clocks.now += 100
    assert (await asyncio.wait_for(waiting, COMES)).task.unit.ticker == "A"


@pytest.mark.parametrize("settled", [False, True])
def test_a_market_that_is_listed_again_shows_what_it_is_now(settled: bool) -> None:
    at = desk()
    at.put("A", known=None)
    item = at.next()
    at.end(item)
    later = replace(unit_of(at, "A"), close_time=OPENS + timedelta(hours=40), settled=settled)
    at.scheduler.put(SERIES, [Task(later, checkpoint_of("A", State.WALKING))])
    at.hear(A=5)
    item = at.next()
    assert item is not None
    assert item.task.unit == later
    assert item.task.known == checkpoint_of("A", State.OPEN), "its own checkpoint counts, a list's may be older"
