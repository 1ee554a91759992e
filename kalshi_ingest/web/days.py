"""The calendar of a city's last weeks: what is held of each event date, told by a sign and not by colour alone."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from kalshi_ingest.domain.coverage.findings import DayState
from kalshi_ingest.web.judged import JudgedDay
from kalshi_ingest.web.words import weekday

_WEEKS_BACK = 4


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


@dataclass(frozen=True, slots=True)
class Cell:
    """One day of the calendar."""

    day: date
    mark: Mark
    why: str
    """Empty where the mark says it all."""

    @property
    def told(self) -> str:
        """All of it in words."""
        return f"{weekday(self.day)}: {self.mark.meaning}{f' ({self.why})' if self.why else ''}"


@dataclass(frozen=True, slots=True)
class Weeks:
    """Whole weeks, Monday to Sunday."""

    rows: Sequence[Sequence[Cell]]
    today: date

    @property
    def first(self) -> date:
        """The first Monday."""
        return self.rows[0][0].day

    @property
    def last(self) -> date:
        """The last Sunday."""
        return self.rows[-1][-1].day

    @property
    def wrong(self) -> Sequence[Cell]:
        """The days that are not as they should be, newest first: a finger shows no tooltips, so they are listed."""
        return [each for row in reversed(self.rows) for each in reversed(row) if each.mark.kind in "hw"]


def weeks(judged: Mapping[date, JudgedDay], today: date) -> Weeks:
    """Up to the week with tomorrow in it."""
    first = today - timedelta(days=today.weekday(), weeks=_WEEKS_BACK)
    number = (today + timedelta(days=1) - first).days // 7 + 1
    days = [first + timedelta(days=n) for n in range(7 * number)]
    cells = [Cell(day, *mark_of(judged.get(day), day, today)) for day in days]
    return Weeks([cells[n : n + 7] for n in range(0, len(cells), 7)], today)
