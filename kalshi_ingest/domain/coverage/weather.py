"""What `coverage` asks of the weather of one city: a settlement and a full day of minutes for every event date."""

from collections.abc import Iterator, Sequence
from datetime import date

from kalshi_ingest.domain.calendar import SLOTS_A_DAY
from kalshi_ingest.domain.coverage.findings import Finding, Level, Remedy, Subject, at_day, spans
from kalshi_ingest.domain.evidence import WeatherRows


def check_settlement(subject: Subject, expected: Sequence[date], held: WeatherRows) -> Iterator[Finding]:
    """Event dates without a settlement. `expected` in order."""
    for first, last in spans([day for day in expected if day not in held.settlement_days]):
        text = "no settlement of the climate day is held"
        yield at_day(subject, (first, last), Level.HOLE, "settlement_missing", text, Remedy.SETTLEMENT)


def check_minutes(subject: Subject, expected: Sequence[date], held: WeatherRows) -> Iterator[Finding]:
    """Climate days without observations, and those with fewer than all slots. `expected` in order."""
    for first, last in spans([day for day in expected if not held.minute_days.get(day)]):
        text = "no minute weather of the climate day is held"
        yield at_day(subject, (first, last), Level.HOLE, "minutes_missing", text, Remedy.MINUTES)
    for day in expected:
        count = held.minute_days.get(day, 0)
        if 0 < count < SLOTS_A_DAY:
            text = f"{count} of {SLOTS_A_DAY} observations of the climate day are held"
            yield at_day(subject, (day, day), Level.WARNING, "minutes_short", text)
