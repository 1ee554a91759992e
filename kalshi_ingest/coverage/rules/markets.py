"""What `coverage` asks of one market: settled, trades proved and still there, candles as the trades make them."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

from kalshi_ingest.coverage.rules.evidence import NO_ROWS, Claim, HeldMarket, Rows
from kalshi_ingest.coverage.rules.findings import NEVER_FETCHED, Finding, Level, Remedy, Subject, contracts
from kalshi_ingest.domain.checkpoint import State, Verdict, verdict_on
from kalshi_ingest.domain.plausible import market_moments, trade_moments
from kalshi_ingest.domain.words import counted

SETTLING_DAYS = 2
"""Settlement comes on the day after the event date; an event is given until the day after that."""


@dataclass(frozen=True, slots=True)
class MarketCase:
    subject: Subject
    day: date
    event_ticker: str
    ticker: str
    market: HeldMarket | None
    """None: the row is lost."""
    claim: Claim | None
    rows: Rows
    today: date

    @property
    def young(self) -> bool:
        return is_young(self.day, self.today)

    @property
    def outcome(self) -> str:
        """The verdict of a complete market, else the state of its walk, as Figures names it."""
        if self.claim is None:
            return NEVER_FETCHED
        return self.claim.verdict or Verdict.UNKNOWN if self.claim.state is State.COMPLETE else self.claim.state

    def finding(self, level: Level, kind: str, text: str, remedy: Remedy | None = None) -> Finding:
        where = (self.subject.label, self.subject.series_ticker, self.day, self.day)
        return Finding(level, kind, *where, text, remedy, self.event_ticker, self.ticker)

    def hole(self, kind: str, text: str, remedy: Remedy) -> Finding:
        return self.finding(Level.HOLE, kind, text, remedy)


def is_young(day: date, today: date) -> bool:
    """Whether an event of `day` may still be on its way to settlement."""
    return (today - day).days < SETTLING_DAYS


def check_market(case: MarketCase) -> Iterator[Finding]:
    yield from _row_lost(case)
    yield from _impossible(case)
    yield from _settled(case)
    yield from _walked(case)
    lost = list(_rows_as_claimed(case))
    yield from lost
    if not lost:  # candles of lost trades differ by necessity, and the same remedy rebuilds them
        yield from _candles(case)
    yield from _inside_life(case)
    yield from _volume_now(case)


def _row_lost(case: MarketCase) -> Iterator[Finding]:
    if case.market is None and not (case.claim and case.claim.state is State.FAILED):
        held = f"{case.rows.trades:,} trades" if case.rows.trades else "no trades"
        known = "a checkpoint" if case.claim else "no checkpoint"
        remedy = Remedy.FETCH if case.claim or case.rows == NO_ROWS else Remedy.REFETCH
        yield case.hole("market_lost", f"its row in markets is missing; {known} and {held} are held", remedy)


def _impossible(case: MarketCase) -> Iterator[Finding]:
    """Moments that cannot be, which an older version took in."""
    market, first, last = case.market, case.rows.first_trade, case.rows.last_trade
    earliest, latest = market_moments(case.day)
    if market is not None:
        told = {"open_time": market.open_time, "close_time": market.close_time, "settled_at": market.settled_at}
        wrong = [
            f"{name} {moment:%Y-%m-%d}" for name, moment in told.items() if moment and not earliest <= moment <= latest
        ]
        if wrong:
            yield case.hole("impossible_market", f"its row cannot be right: {', '.join(wrong)}", Remedy.FETCH)
        earliest, latest = trade_moments(case.day, market.open_time, market.close_time)
    if first is not None and last is not None and not earliest <= first <= last <= latest:
        yield case.hole(
            "impossible_trades",
            f"trades from {first:%Y-%m-%d} to {last:%Y-%m-%d} are held, which it cannot have had",
            Remedy.REFETCH,
        )


def _settled(case: MarketCase) -> Iterator[Finding]:
    if case.market and case.market.status != "settled" and not case.young:
        age = (case.today - case.day).days
        yield case.hole(
            "unsettled", f"its status is {case.market.status}, {age:,} days after the event date", Remedy.FETCH
        )


def _walked(case: MarketCase) -> Iterator[Finding]:
    """Whether its trades are proved complete."""
    claim, market = case.claim, case.market
    if claim is None:
        if market is not None:
            # Without a checkpoint a walk takes every row for new, so rows that are there have to go first.
            text = f", yet {case.rows.trades:,} trades are held" if case.rows.trades else ""
            remedy = Remedy.FETCH if case.rows == NO_ROWS else Remedy.REFETCH
            yield case.hole(NEVER_FETCHED, f"its trades were never fetched{text}", remedy)
    elif claim.state is State.FAILED:
        yield case.hole("failed", f"its fetch failed: {claim.error or 'no reason is recorded'}", Remedy.FETCH)
    elif claim.state is State.WALKING:
        done = f"{counted(claim.pages, 'page')} of trades"
        yield case.hole("walking", f"its fetch broke off after {done}", Remedy.FETCH)
    elif claim.state is State.OPEN:
        if not case.young and market is not None and market.status == "settled":
            yield case.hole("open", "its trades were fetched before it settled, not since", Remedy.FETCH)
    else:
        yield from _verdict(case, claim)


def _verdict(case: MarketCase, claim: Claim) -> Iterator[Finding]:
    said = case.outcome
    due = verdict_on(claim.contracts, claim.exchange_volume)
    sums = f"{claim.trades:,} trades sum to {contracts(claim.contracts)} contracts"
    if said != due:
        yield case.hole("verdict", f"its checkpoint says {said}, its own numbers say {due}: {sums}", Remedy.REFETCH)
    elif said is Verdict.SHORT and claim.trades == 0:
        yield case.hole("no_trades", f"{sums}, the exchange's own volume says otherwise", Remedy.REFETCH)
    elif said is Verdict.UNKNOWN and claim.pages == 0:
        yield case.hole("unproved", f"{sums}, from an archive that proves nothing", Remedy.FETCH)
    elif said is Verdict.UNKNOWN:
        yield case.finding(Level.WARNING, "unknown", f"{sums}; the exchange states no volume")
    elif said is not Verdict.EXACT and claim.exchange_volume is not None:
        stated = contracts(claim.exchange_volume)
        yield case.finding(Level.WARNING, said, f"{sums}, the exchange's own volume is {stated} (walked twice)")


def _rows_as_claimed(case: MarketCase) -> Iterator[Finding]:
    claim, rows = case.claim, case.rows
    if claim is not None and (rows.trades, rows.contracts) != (claim.trades, claim.contracts):
        kind = "trades_lost" if rows.trades < claim.trades else "trades_differ"
        yield case.hole(
            kind,
            f"{rows.trades:,} trades of {contracts(rows.contracts)} contracts are held, "
            f"its checkpoint claims {claim.trades:,} of {contracts(claim.contracts)}",
            Remedy.REFETCH,
        )


def _candles(case: MarketCase) -> Iterator[Finding]:
    if case.claim is None or case.claim.state in (State.WALKING, State.FAILED):
        return  # the candles of the last page are written with the next one
    rows = case.rows
    counts = ((rows.missing_candles, "missing"), (rows.surplus_candles, "too many"), (rows.wrong_candles, "wrong"))
    faults = [f"{count:,} {word}" for count, word in counts if count]
    for name, volume in (("1-minute", rows.contracts_1m), ("5-minute", rows.contracts_5m)):
        # While a market trades, the candles of its newest periods are still to come.
        if volume != rows.contracts and case.claim.state is not State.OPEN:
            faults.append(f"the {name} ones sum to {contracts(volume)} of {contracts(rows.contracts)} contracts")
    if faults:
        first = f" (first: {rows.first_fault})" if rows.first_fault else ""
        yield case.hole("candles", f"candles: {'; '.join(faults)}{first}", Remedy.REFETCH)


def _inside_life(case: MarketCase) -> Iterator[Finding]:
    market, first, last = case.market, case.rows.first_trade, case.rows.last_trade
    if market is None or first is None or last is None or any(_impossible(case)):
        return
    if first < market.open_time or last > market.close_time:
        yield case.finding(
            Level.WARNING,
            "outside_hours",
            f"trades from {first:%Y-%m-%d %H:%M:%S}Z to {last:%Y-%m-%d %H:%M:%S}Z, but trading hours are "
            f"{market.open_time:%Y-%m-%d %H:%M}Z to {market.close_time:%Y-%m-%d %H:%M}Z",
        )


def _volume_now(case: MarketCase) -> Iterator[Finding]:
    market, claim = case.market, case.claim
    if market is None or claim is None or claim.state is not State.COMPLETE or market.status != "settled":
        return
    if None not in (market.volume, claim.exchange_volume) and market.volume != claim.exchange_volume:
        now, then = contracts(market.volume or 0), contracts(claim.exchange_volume or 0)
        yield case.finding(
            Level.NOTE, "volume_moved", f"the exchange's volume is {now}, it was {then} when it was walked"
        )
