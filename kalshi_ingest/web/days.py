"""The calendar of a city's last weeks: what is held of each event date, told by a sign and not by colour alone."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from kalshi_ingest.domain.coverage.findings import DayState
from kalshi_ingest.web.judged import JudgedDay
from kalshi_ingest.web.words import count, text, weekday

_WEEKS_BACK = 4
_MOST_WRONG = 3


@dataclass(frozen=True, slots=True)
class Mark:
    """What can be said of a day: a class of the style sheet, a sign, and words."""

    kind: str
    sign: str
    meaning: str


FUTURE = Mark("f", "", "not yet listed")
OUTSIDE = Mark("n", "-", "not among the dates asked for")
MARKS = {
    DayState.COMPLETE: Mark("c", "✓", "complete"),
    DayState.WARNING: Mark("w", "!", "complete, with a warning"),
    DayState.OPEN: Mark("o", "○", "in progress"),
    DayState.HOLE: Mark("h", "✕", "a hole"),
    DayState.NONE: Mark("n", "∅", "the exchange lists no event"),
}


def mark_of(judged: JudgedDay | None, day: date, today: date) -> tuple[Mark, str]:
    """The mark of a day and why. None: `coverage` does not judge it."""
    if judged is None:
        return (FUTURE if day > today else OUTSIDE), ""
    return MARKS[judged.state], judged.why


def legend() -> str:
    """The signs and what they mean."""
    items = "".join(
        f'<li><span class="day {mark.kind}" aria-hidden="true">{mark.sign or "1"}</span>{text(mark.meaning)}</li>'
        for mark in (*MARKS.values(), FUTURE, OUTSIDE)
    )
    return f'<ul class="legend">{items}</ul>'


def calendar(held: Mapping[date, JudgedDay], today: date, name: str) -> Iterator[str]:
    """Whole weeks up to the one with tomorrow in it, and in words what is not as it should be."""
    first = today - timedelta(days=today.weekday(), weeks=_WEEKS_BACK)
    tomorrow = today + timedelta(days=1)
    last = tomorrow + timedelta(days=6 - tomorrow.weekday())
    weeks = [first + timedelta(weeks=n) for n in range(((last - first).days + 1) // 7)]
    rows = "".join(
        f"<tr>{''.join(_cell(monday + timedelta(days=n), held, today) for n in range(7))}</tr>" for monday in weeks
    )
    head = "".join(
        f'<th scope="col" aria-label="{(first + timedelta(days=n)):%A}">{letter}</th>' for n, letter in _week()
    )
    yield (
        f'<table class="days"><caption>Event dates of {text(name)}, {weekday(first)} to {weekday(last)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
    )
    days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
    judged = [(day, *mark_of(held.get(day), day, today)) for day in days]
    yield from _wrong([each for each in judged if each[1].kind in "hw"])


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


def _cell(day: date, held: Mapping[date, JudgedDay], today: date) -> str:
    mark, why = mark_of(held.get(day), day, today)
    told = text(f"{weekday(day)}: {mark.meaning}{f' ({why})' if why else ''}")
    now = ' aria-current="date"' if day == today else ""
    return (
        f'<td><span class="day {mark.kind}" role="img" title="{told}" aria-label="{told}"{now}>'
        f'<span class="number">{day.day}</span><span class="sign">{mark.sign}</span></span></td>'
    )
