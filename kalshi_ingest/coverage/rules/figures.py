"""The counts of one series for `coverage`: expected against held."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import date, timedelta

from kalshi_ingest.coverage.rules.cases import Cases
from kalshi_ingest.coverage.rules.days import events_of
from kalshi_ingest.coverage.rules.findings import PROOFS, DayState, Figures, Finding, Level


def figures_of(days: Cases, states: Mapping[date, DayState], findings: Sequence[Finding]) -> Figures:
    """Every count of one series' markets; `states` and `findings` are what was judged of it."""
    by_state = Counter(states.values())
    cases = list(days.values())
    markets = [each for case in cases for each in case.markets]
    held = [(each.market, each.rows) for each in markets if each.market is not None]
    judged = [event for case in cases for event in events_of(case) if event.needs_one_yes]
    outcomes = Counter(each.outcome for each in markets)
    return Figures(
        days_expected=len(days) - by_state[DayState.NONE],
        days_complete=by_state[DayState.COMPLETE] + by_state[DayState.WARNING],
        days_open=by_state[DayState.OPEN],
        events_expected=sum(case.events_expected for case in cases if not (case.unasked and case.day >= case.today)),
        events_held=sum(len(case.events) for case in cases),
        markets_expected=sum(case.markets_expected for case in cases),
        markets_held=len(held),
        markets_settled=sum(market.status == "settled" for market, _ in held),
        events_settled=len(judged),
        events_one_yes=sum(len(event.winners) == 1 for event in judged),
        **{name: outcomes[name] for name in PROOFS},
        trades=sum(each.rows.trades for each in markets),
        contracts=sum(each.rows.contracts for each in markets),
        candles_1m=sum(each.rows.candles_1m for each in markets),
        candles_5m=sum(each.rows.candles_5m for each in markets),
        markets_with_candles=sum(rows.candles_1m > 0 for _, rows in held),
        trading_minutes=sum((market.close_time - market.open_time) // timedelta(minutes=1) for market, _ in held),
        strikes_from_subtitle=sum(market.strike_source == "subtitle" for market, _ in held),
        strikes_from_neighbours=sum(market.strike_source == "neighbours" for market, _ in held),
        holes=sum(finding.level is Level.HOLE for finding in findings),
        warnings=sum(finding.level is Level.WARNING for finding in findings),
    )
