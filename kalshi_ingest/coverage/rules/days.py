"""What `coverage` asks of one event date: is all there that the exchange listed, and does each event add up."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from kalshi_ingest.coverage.rules import bins
from kalshi_ingest.coverage.rules.evidence import HeldEvent, HeldMarket, Listed
from kalshi_ingest.coverage.rules.findings import Finding, Level, Remedy, Subject, at_day
from kalshi_ingest.coverage.rules.markets import MarketCase, is_young
from kalshi_ingest.domain.words import counted

WHOLE_BINS_FROM = date(2023, 5, 1)
"""From here on a city's event covers every temperature; 2021 had one threshold a day, 2022 about three."""

USUAL_BINS = 6
"""Markets of a city's event."""


@dataclass(slots=True)
class DayCase:
    """Everything held about one series and event date."""

    subject: Subject
    day: date
    today: date
    listed: Listed | None = None
    events: list[HeldEvent] = field(default_factory=list)
    markets: list[MarketCase] = field(default_factory=list)
    """Also those whose row in markets is lost."""

    @property
    def held(self) -> bool:
        return bool(self.events or self.markets)

    @property
    def unasked(self) -> bool:
        """Whether nothing says that the exchange was ever asked for this date."""
        return self.listed is None and not self.held

    @property
    def none_listed(self) -> bool:
        """Whether the exchange was asked for this date and has no event."""
        return self.listed is not None and not self.listed.events and not self.listed.markets and not self.held

    @property
    def young(self) -> bool:
        return is_young(self.day, self.today)

    @property
    def lost_events(self) -> list[str]:
        """Events without a row of their own that markets or checkpoints name."""
        return sorted({each.event_ticker for each in self.markets} - {event.event_ticker for event in self.events})

    @property
    def events_expected(self) -> int:
        """Events that should be held; one for a date that was never asked for."""
        if self.unasked:
            return 1
        return max(self.listed.events if self.listed else 0, len(self.events) + len(self.lost_events))

    @property
    def markets_expected(self) -> int:
        return max(self.listed.markets if self.listed else 0, len(self.markets))

    @property
    def missing_markets(self) -> int:
        """Markets that are listed and that nothing held names."""
        return self.markets_expected - len(self.markets)


@dataclass(frozen=True, slots=True)
class EventCase:
    day: DayCase
    event_ticker: str
    markets: Sequence[HeldMarket]
    whole: bool
    """Whether every market is held that the exchange listed, so that a gap is not merely a lost row."""

    @property
    def needs_whole_bins(self) -> bool:
        """Whether the markets have to cover every temperature."""
        return self.day.subject.city is not None and self.day.day >= WHOLE_BINS_FROM

    @property
    def settled(self) -> bool:
        return bool(self.markets) and all(market.status == "settled" for market in self.markets)

    @property
    def winners(self) -> list[str]:
        return sorted(market.ticker for market in self.markets if market.result == "yes")

    @property
    def needs_one_yes(self) -> bool:
        """Whether exactly one of its markets has to be the winner."""
        plain = not any(market.result == "scalar" for market in self.markets)
        return self.needs_whole_bins and self.whole and self.settled and plain

    def finding(self, level: Level, kind: str, text: str, remedy: Remedy | None = None) -> Finding:
        where = (self.day.subject.label, self.day.subject.series_ticker, self.day.day, self.day.day)
        return Finding(level, kind, *where, text, remedy, self.event_ticker)


def events_of(case: DayCase) -> list[EventCase]:
    """The events of a date that are held or named, by ticker."""
    lost = {each.event_ticker for each in case.markets if each.market is None}
    names = sorted({event.event_ticker for event in case.events} | {each.event_ticker for each in case.markets})
    return [
        EventCase(
            case,
            name,
            [each.market for each in case.markets if each.event_ticker == name and each.market is not None],
            whole=name not in lost and not case.missing_markets,
        )
        for name in names
    ]


def check_day(case: DayCase) -> Iterator[Finding]:
    """What is wrong with a date as such and with its events. Dates without anything are judged as spans."""
    if case.listed is not None:
        yield from _as_listed(case, case.listed)
    yield from _event_rows(case)
    events = events_of(case)
    if len(events) > 1:
        names = ", ".join(event.event_ticker for event in events)
        yield _about(case, Level.NOTE, "second_event", f"{len(events)} events on one date: {names}")
    for event in events:
        yield from _bins(event)
        yield from _strike_sources(event)
        yield from _one_yes(event)


def _about(case: DayCase, level: Level, kind: str, text: str, remedy: Remedy | None = None) -> Finding:
    return at_day(case.subject, (case.day, case.day), level, kind, text, remedy)


def _missing(case: DayCase, kind: str, text: str) -> Finding:
    return replace(_about(case, Level.HOLE, kind, text, Remedy.FETCH), markets=case.missing_markets)


def _as_listed(case: DayCase, listed: Listed) -> Iterator[Finding]:
    events_named = len(case.events) + len(case.lost_events)
    missing_events = max(0, listed.events - events_named)
    if not case.held and not case.none_listed:
        text = f"nothing is held of {counted(listed.events, 'event')} and {counted(listed.markets, 'market')} listed"
        yield _missing(case, "day_missing", text)
    elif missing_events:
        text = f"{missing_events:,} of {counted(listed.events, 'event')} listed not held"
        if case.missing_markets:
            text += f", and {case.missing_markets:,} of {counted(listed.markets, 'market')}"
        yield _missing(case, "events_missing", text)
    elif case.missing_markets:
        text = f"{case.missing_markets:,} of {counted(listed.markets, 'market')} listed not held{_gaps(case)}"
        yield _missing(case, "markets_missing", text)
    if events_named > listed.events or len(case.markets) > listed.markets:
        held = f"{counted(events_named, 'event')} and {counted(len(case.markets), 'market')} held"
        text = f"{held}, but {counted(listed.events, 'event')} and {counted(listed.markets, 'market')} listed"
        yield _about(case, Level.WARNING, "more_than_listed", text)


def _gaps(case: DayCase) -> str:
    """What the bins that are left tell about the missing ones."""
    faults = [fault for event in events_of(case) if (fault := bins.fault(event.markets))]
    return f" ({'; '.join(faults)})" if faults and case.subject.city and case.day >= WHOLE_BINS_FROM else ""


def _event_rows(case: DayCase) -> Iterator[Finding]:
    for name in case.lost_events:
        count = sum(each.event_ticker == name for each in case.markets)
        where = (case.subject.label, case.subject.series_ticker, case.day, case.day)
        text = f"its row in events is missing; {counted(count, 'market')} of it known"
        yield Finding(Level.HOLE, "event_lost", *where, text, Remedy.FETCH, name)


def _bins(event: EventCase) -> Iterator[Finding]:
    if event.day.subject.city is None or not event.whole:
        return  # other series need not cover every number; a lost row is named as such
    count, fault = len(event.markets), bins.fault(event.markets)
    if fault is None:
        if event.needs_whole_bins and count != USUAL_BINS:
            yield event.finding(
                Level.NOTE, "bin_count", f"{count} bins that cover every temperature; {USUAL_BINS} is usual"
            )
    elif event.needs_whole_bins:
        yield event.finding(Level.HOLE, "bins", f"its {counted(count, 'bin')} do not add up: {fault}", Remedy.FETCH)
    else:
        yield event.finding(Level.NOTE, "thresholds", f"{counted(count, 'bracket')}, as was usual then: {fault}")


def _strike_sources(event: EventCase) -> Iterator[Finding]:
    for source, words in (("subtitle", "its subtitle"), ("neighbours", "the event's other markets")):
        found = sorted(market.ticker for market in event.markets if market.strike_source == source)
        if found:
            text = f"the exchange left out the strikes of {', '.join(found)}; read from {words}"
            yield event.finding(Level.NOTE, f"strikes_{source}", text)


def _one_yes(event: EventCase) -> Iterator[Finding]:
    scalar = [market.ticker for market in event.markets if market.result == "scalar"]
    if scalar:
        yield event.finding(Level.NOTE, "scalar", f"{', '.join(scalar)} settled to a value between yes and no")
    silent = sorted(market.ticker for market in event.markets if market.status == "settled" and market.result is None)
    winners = event.winners
    if silent:
        yield event.finding(Level.HOLE, "no_result", f"{', '.join(silent)} settled without a result", Remedy.FETCH)
    if len(winners) > 1 and event.needs_whole_bins:
        text = f"{len(winners)} markets settled yes: {', '.join(winners)}"
        yield event.finding(Level.HOLE, "yes", text, Remedy.FETCH)
    elif not winners and not silent and event.needs_one_yes:
        text = f"none of its {counted(len(event.markets), 'market')} settled yes"
        yield event.finding(Level.HOLE, "yes", text, Remedy.FETCH)
