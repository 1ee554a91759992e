"""What `coverage` asks of a city's minute weather: every climate day fetched late enough, and kept as it is claimed."""

from collections.abc import Iterator, Mapping, Sequence, Set
from datetime import date, datetime, timedelta

from kalshi_ingest.coverage.rules.evidence import MinuteDay, WeatherRows
from kalshi_ingest.coverage.rules.findings import Finding, Level, Remedy, Subject, at_day, spans
from kalshi_ingest.coverage.rules.weather_figures import MinuteFigures
from kalshi_ingest.domain.calendar import SLOTS_A_DAY
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.minutes import FILLED_TOO_OFTEN, HOURLY_LATE, is_late
from kalshi_ingest.domain.words import counted

_NAMED = 3
_ONE_DAY = timedelta(days=1)


def check_minutes(subject: Subject, days: Sequence[date], held: WeatherRows, now: datetime) -> Iterator[Finding]:
    """Days that are not proved complete or not held as claimed, and slots that no source has.

    `days`: all that can be observed, in order; days that the sources may not have all of yet are left out.
    """
    if subject.city is None:
        return
    expected = [day for day in days if is_late(subject.city, day, now)]
    claims = {day: held.minutes[day] for day in expected if day in held.minutes}
    for span in spans([day for day in expected if day not in claims]):
        text = "the minute weather of the climate day was never fetched"
        yield at_day(subject, span, Level.HOLE, "minutes_missing", text, Remedy.MINUTES)
    waiting = _waiting(subject.city, claims, now)
    for span in spans([day for day, claim in claims.items() if claim.state == "open" and day not in waiting]):
        text = "its minute weather was fetched before the source could have all of it, not since"
        yield at_day(subject, span, Level.HOLE, "minutes_open", text, Remedy.MINUTES)
    for day, claim in claims.items():
        if claim.state == "failed":
            text = f"its minute weather could not be fetched: {claim.error or 'no reason is recorded'}"
            yield at_day(subject, (day, day), Level.HOLE, "minutes_failed", text, Remedy.MINUTES)
        yield from _as_claimed(subject, day, claim)
    yield from _hourly(subject, [day for day, claim in claims.items() if claim.hourly], waiting)
    yield from _short(subject, {day: claim.missing for day, claim in claims.items() if _is_short(claim)})
    yield from _filled(subject, expected, minute_figures(subject.city, days, held, now))


def minute_figures(city: City, days: Sequence[date], held: WeatherRows, now: datetime) -> MinuteFigures:
    expected = [day for day in days if is_late(city, day, now)]
    claims = {day: held.minutes[day] for day in expected if day in held.minutes}
    observed, filled = (sum(each.observed for each in claims.values()), sum(each.filled for each in claims.values()))
    return MinuteFigures(
        days_expected=len(expected),
        days_whole=sum(claim.missing == 0 for claim in claims.values()),
        days_short=sum(_is_short(claim) for claim in claims.values()),
        days_open=sum(claim.state == "open" for claim in claims.values()) - len(_waiting(city, claims, now)),
        days_hourly=sum(claim.hourly for claim in claims.values()),
        days_failed=sum(claim.state == "failed" for claim in claims.values()),
        days_never_fetched=len(expected) - len(claims),
        days_pending=len(days) - len(expected),
        slots_observed=observed,
        slots_filled=filled,
        slots_missing=len(expected) * SLOTS_A_DAY - observed - filled,
    )


def _waiting(city: City, claims: Mapping[date, MinuteDay], now: datetime) -> set[date]:
    """Days of hourly reports for which one-minute readings may still come: they are open, and no hole."""
    return {
        day
        for day, claim in claims.items()
        if claim.state == "open" and claim.hourly and not is_late(city, day, now, hourly=True)
    }


def _is_short(claim: MinuteDay) -> bool:
    return claim.state == "complete" and claim.missing > 0


def _as_claimed(subject: Subject, day: date, claim: MinuteDay) -> Iterator[Finding]:
    if (claim.observed_held, claim.filled_held) != (claim.observed, claim.filled):
        text = (
            f"{claim.observed_held} slots observed and {claim.filled_held} filled are held, "
            f"its claim says {claim.observed} and {claim.filled}"
        )
        # Only a complete day is passed over by the next fetch.
        remedy = Remedy.MINUTES_AGAIN if claim.state == "complete" else Remedy.MINUTES
        yield at_day(subject, (day, day), Level.HOLE, "minutes_lost", text, remedy)


def _hourly(subject: Subject, days: Sequence[date], waiting: Set[date]) -> Iterator[Finding]:
    for span in spans(days):
        some = [day for day in waiting if span[0] <= day <= span[1]]
        text = "its minute weather consists of hourly reports alone"
        if some:
            text += f", one-minute readings may still come until {max(some) + HOURLY_LATE + _ONE_DAY}"
        yield at_day(subject, span, Level.WARNING, "minutes_hourly", text)


def _short(subject: Subject, missing: dict[date, int]) -> Iterator[Finding]:
    """One warning, for no fetching brings these slots."""
    if not missing:
        return
    worst = sorted(missing, key=lambda day: (-missing[day], day))[:_NAMED]
    named = ", ".join(f"{day} with {missing[day]} of {SLOTS_A_DAY}" for day in worst)
    days, slots = len(missing), sum(missing.values())
    text = (
        f"{counted(slots, 'slot')} of {counted(days, 'fetched day')} "
        f"{'are' if slots != 1 else 'is'} missing at the source; the worst: {named}"
    )
    yield at_day(subject, (min(missing), max(missing)), Level.WARNING, "minutes_short", text)


def _filled(subject: Subject, expected: Sequence[date], figures: MinuteFigures) -> Iterator[Finding]:
    share = figures.filled_share
    if share is not None and 100 * share >= FILLED_TOO_OFTEN:
        text = (
            f"{figures.slots_filled:,} of {figures.slots_expected:,} expected slots are copies of the observation "
            f"before: {100 * share:.2f} %, and less than {FILLED_TOO_OFTEN:g} % is wanted"
        )
        yield at_day(subject, (expected[0], expected[-1]), Level.WARNING, "minutes_filled", text)
