"""The calendar of a city's last weeks: what is held of each event date, told by a sign and not by colour alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from kalshi_ingest.service.words import count, text, weekday
from kalshi_ingest.store.page import HeldDay

_WEEKS_BACK = 4
_MOST_WRONG = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """What can be said of a day: a class of the style sheet, a sign, and words."""

    kind: str
    sign: str
    meaning: str


COMPLETE = Mark("c", "✓", "complete")
WARNING = Mark("w", "!", "complete, with a warning")
OPEN = Mark("o", "○", "in progress")
HOLE = Mark("h", "✕", "a hole")
FUTURE = Mark("f", "", "not yet listed")
BEFORE = Mark("n", "-", "before the first date asked for")
MARKS = (COMPLETE, WARNING, OPEN, HOLE, FUTURE, BEFORE)


def judge(held: HeldDay | None, day: date, today: date, first: date | None) -> tuple[Mark, str]:
    """The mark of a day and why. `first`: the first date of which anything is known; None: there is none."""
    if held is None:
        if day > today:
            return FUTURE, ""
        if first is None or day < first:
            return BEFORE, ""
        return HOLE, "the exchange's list of it was never read"
    expected = max(held.held, held.listed or 0)
    if held.failed:
        return HOLE, f"{count(held.failed, 'market')} of {expected} failed"
    if not expected:
        return (FUTURE, "") if day > today else (HOLE, "the exchange lists no event")
    if held.held < expected:
        return HOLE, f"{expected - held.held} of {count(expected, 'market')} missing"
    proved = held.exact + held.inexact
    if proved < expected:
        return OPEN, f"{proved} of {count(expected, 'market')} proved complete"
    if held.inexact:
        return WARNING, f"{held.inexact} of {count(expected, 'market')} not equal to the exchange's volume"
    return COMPLETE, f"{count(expected, 'market')}, every one exact"


def legend() -> str:
    """The signs and what they mean."""
    items = "".join(
        f'<li><span class="day {mark.kind}" aria-hidden="true">{mark.sign or "1"}</span>{text(mark.meaning)}</li>'
        for mark in MARKS
    )
    return f'<ul class="legend">{items}</ul>'


def calendar(held: Mapping[date, HeldDay], today: date, name: str) -> Iterator[str]:
    """Whole weeks up to the one with tomorrow in it, and in words what is not as it should be."""
    first = today - timedelta(days=today.weekday(), weeks=_WEEKS_BACK)
    tomorrow = today + timedelta(days=1)
    last = tomorrow + timedelta(days=6 - tomorrow.weekday())
    known = min(held, default=None)
    weeks = [first + timedelta(weeks=n) for n in range(((last - first).days + 1) // 7)]
    rows = "".join(
        f"<tr>{''.join(_cell(monday + timedelta(days=n), held, today, known) for n in range(7))}</tr>"
        for monday in weeks
    )
    head = "".join(
        f'<th scope="col" aria-label="{(first + timedelta(days=n)):%A}">{letter}</th>' for n, letter in _week()
    )
    yield (
        f'<table class="days"><caption>Event dates of {text(name)}, {weekday(first)} to {weekday(last)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    judged = [(day, *judge(held.get(day), day, today, known)) for day in days]
    yield from _wrong([each for each in judged if each[1] in (HOLE, WARNING)])


def _wrong(judged: Sequence[tuple[date, Mark, str]]) -> Iterator[str]:
    """The newest days that are not as they should be: a finger shows no tooltips."""
    if not judged:
        return
    yield '<ul class="why">'
    for day, mark, why in reversed(judged[-_MOST_WRONG:]):
        sign = f'<span class="day {mark.kind}" aria-hidden="true">{mark.sign}</span>'
        yield f"<li>{sign}{weekday(day)}: {text(why)}</li>"
    if len(judged) > _MOST_WRONG:
        yield f"<li>and {count(len(judged) - _MOST_WRONG, 'earlier day')}</li>"
    yield "</ul>"


def _week() -> list[tuple[int, str]]:
    return list(enumerate(("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")))


def _cell(day: date, held: Mapping[date, HeldDay], today: date, first: date | None) -> str:
    mark, why = judge(held.get(day), day, today, first)
    told = text(f"{weekday(day)}: {mark.meaning}{f' ({why})' if why else ''}")
    now = ' aria-current="date"' if day == today else ""
    return (
        f'<td><span class="day {mark.kind}" role="img" title="{told}" aria-label="{told}"{now}>'
        f'<span class="number">{day.day}</span><span class="sign">{mark.sign}</span></span></td>'
    )
