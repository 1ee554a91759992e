"""The calendar of a city's event dates, by weeks or by years: what is held, by a sign and not by colour alone."""

from calendar import monthrange
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from kalshi_ingest.coverage.rules.findings import DayState
from kalshi_ingest.coverage.wording import FUTURE, MARKS, OUTSIDE, Mark
from kalshi_ingest.web.formatting import weekday
from kalshi_ingest.web.judged import JudgedDay

_WEEKS_BACK = 4


def mark_of(judged: JudgedDay | None, day: date, today: date) -> tuple[Mark, str]:
    """The mark of a day and why. None: `coverage` does not judge it."""
    if judged is None:
        return (FUTURE if day > today else OUTSIDE), ""
    return MARKS[judged.state], judged.why


@dataclass(frozen=True, slots=True)
class Cell:
    day: date
    mark: Mark
    why: str
    """Empty where the mark says it all."""

    @property
    def title(self) -> str:
        return f"{weekday(self.day)}: {self.mark.meaning}{f' ({self.why})' if self.why else ''}"

    @property
    def wrong(self) -> bool:
        """Whether it is not as it should be."""
        return self.mark.kind in "hw"


def weeks(judged: Mapping[date, JudgedDay], today: date) -> list[list[Cell]]:
    """Whole weeks, Monday to Sunday, up to the one with tomorrow in it."""
    first = today - timedelta(days=today.weekday(), weeks=_WEEKS_BACK)
    number = (today + timedelta(days=1) - first).days // 7 + 1
    days = [first + timedelta(days=n) for n in range(7 * number)]
    cells = [Cell(day, *mark_of(judged.get(day), day, today)) for day in days]
    return [cells[n : n + 7] for n in range(0, len(cells), 7)]


@dataclass(frozen=True, slots=True)
class Year:
    """A row for each month, from the first to the last with a day that was judged."""

    year: int
    counts: str
    """`300 complete, 1 hole`."""
    months: Sequence[tuple[str, Sequence[Cell | None]]]
    """Its name, and its days from the first on; None: not judged."""


def years(judged: Mapping[date, DayState]) -> list[Year]:
    """All days judged."""
    return [_year(year, judged) for year in sorted({day.year for day in judged})]


def _year(year: int, judged: Mapping[date, DayState]) -> Year:
    cells = {day: Cell(day, MARKS[state], "") for day, state in judged.items() if day.year == year}
    number = Counter(judged[day] for day in cells)
    months = []
    for month in range(min(cells).month, max(cells).month + 1):
        days = [date(year, month, n + 1) for n in range(monthrange(year, month)[1])]
        months.append((f"{days[0]:%b}", [cells.get(day) for day in days]))
    return Year(year, ", ".join(f"{number[state]} {state}" for state in MARKS if number[state]), months)
