"""What `weather minutes` shows before and after a run, for people and for programs."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from kalshi_ingest.domain.calendar import SLOTS_A_DAY
from kalshi_ingest.domain.cities import City
from kalshi_ingest.domain.minutes import FILLED_TOO_OFTEN, HOURLY_LATE
from kalshi_ingest.postgres.database import Database
from kalshi_ingest.text_table import table
from kalshi_ingest.weather.minutes.job import Plan, Progress, held_claims
from kalshi_ingest.weather.minutes.queries import Claim
from kalshi_ingest.weather.minutes.sources import Source

_LISTED = 20


def plan_text(plan: Plan, source: Source) -> str:
    lacking, expected = (sum(map(len, days.values())) for days in (plan.lacking, plan.expected))
    cost = source.cost(plan.pieces)
    spent = "free" if cost.records is None else f"about {cost.records:,} records of the account's plan"
    rows = [
        (city.key, city.station.loc_id, len(days), len(plan.lacking.get(city, ())))
        for city, days in plan.expected.items()
    ]
    return (
        table(("city", "station", "days asked for", "to fetch"), rows)
        + f"\n\n{source.name}: {lacking:,} of {expected:,} station-days to fetch, {lacking * SLOTS_A_DAY:,} slots,"
        + f" at most {cost.requests:,} requests, {spent}."
    )


@dataclass(slots=True)
class CityMinutes:
    city: City
    expected: int
    """Climate days asked for that have begun."""
    whole: int = 0
    """Days whose 288 slots are all observed or filled."""
    observed: int = 0
    filled: int = 0
    missing: int = 0
    """Slots; those of days never fetched among the missing."""
    rejected: int = 0
    """Rows refused in all runs that fetched the days."""
    reasons: Mapping[str, int] = field(default_factory=dict)
    """Rows refused in this run, by reason."""
    requests: int = 0
    thin: dict[date, int] = field(default_factory=dict)
    """Days proved complete → slots that stay missing."""
    open: list[date] = field(default_factory=list)
    """Days fetched too early to be complete."""
    hourly: dict[date, str] = field(default_factory=dict)
    """Days of hourly reports alone → state; one that is open is so because one-minute readings may still come."""
    failed: list[date] = field(default_factory=list)
    unfetched: list[date] = field(default_factory=list)

    @property
    def filled_per_cent(self) -> float:
        """Share of the *expected* slots that hold a copy."""
        return 100 * self.filled / (self.expected * SLOTS_A_DAY) if self.expected else 0.0


@dataclass(frozen=True, slots=True)
class MinutesReport:
    cities: Sequence[CityMinutes]
    progress: Progress
    source: str
    seconds: float

    @property
    def exit_code(self) -> int:
        """0: every day is proved complete. 1: some are open, failed or not fetched. 3: the service stayed away.

        Slots that no service has are listed and do not count: another run would not bring them.
        """
        if self.progress.out_of_reach:
            return 3
        undone = self.progress.ended or self.progress.failed
        return 1 if undone or any(each.open or each.failed or each.unfetched for each in self.cities) else 0

    def as_dict(self) -> dict[str, Any]:
        return {
            "source": self.source,
            "exit_code": self.exit_code,
            "ended_early": self.progress.ended,
            "seconds": round(self.seconds, 1),
            "records": self.progress.records,
            "failed": dict(self.progress.failed),
            "cities": [
                {
                    "city": each.city.key,
                    "station": each.city.station.loc_id,
                    "days_expected": each.expected,
                    "days_with_288_slots": each.whole,
                    "slots_observed": each.observed,
                    "slots_filled": each.filled,
                    "slots_missing": each.missing,
                    "filled_per_cent": round(each.filled_per_cent, 3),
                    "rows_rejected": each.rejected,
                    "rejected_in_this_run": dict(each.reasons),
                    "requests": each.requests,
                    "days_with_missing_slots": {day.isoformat(): slots for day, slots in each.thin.items()},
                    "days_open": [day.isoformat() for day in each.open],
                    "days_of_hourly_reports": {day.isoformat(): state for day, state in each.hourly.items()},
                    "days_failed": [day.isoformat() for day in each.failed],
                    "days_not_fetched": [day.isoformat() for day in each.unfetched],
                }
                for each in self.cities
            ],
        }

    def as_text(self) -> str:
        """The table, all that is incomplete or suspect, and a last line with the outcome."""
        header = ("city", "days", "of 288", "observed", "filled", "missing", "filled %", "rejected", "requests")
        rows = [
            (
                each.city.key,
                each.expected,
                each.whole,
                each.observed,
                each.filled,
                each.missing,
                f"{each.filled_per_cent:.2f}",
                each.rejected,
                each.requests,
            )
            for each in self.cities
        ]
        parts = [table(header, rows)]
        parts += _listed(
            "rows refused in this run",
            [
                f"{c.city.key}: " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(c.reasons.items()))
                for c in self.cities
                if c.reasons
            ],
        )
        parts += _listed(
            f"filled in {FILLED_TOO_OFTEN:g} % of the slots or more",
            [f"{c.city.key}: {c.filled_per_cent:.1f} %" for c in self.cities if c.filled_per_cent >= FILLED_TOO_OFTEN],
        )
        parts += _listed(
            "slots that the source has nothing for",
            [f"{c.city.key} {day}: {slots} of {SLOTS_A_DAY}" for c in self.cities for day, slots in c.thin.items()],
        )
        parts += _listed(
            "fetched before the source could have everything: fetch them again later",
            [f"{each.city.key} {day}" for each in self.cities for day in each.open if day not in each.hourly],
        )
        parts += _listed(
            f"hourly reports alone: open for {HOURLY_LATE.days} days, because one-minute readings may still come",
            [f"{each.city.key} {day}: {state}" for each in self.cities for day, state in each.hourly.items()],
        )
        parts += _listed("failed", [f"{what}: {reason}" for what, reason in self.progress.failed.items()])
        return "\n".join([*parts, "\n" + self._last_line()])

    def _last_line(self) -> str:
        took = f"in {self.seconds:.1f} s"
        if self.exit_code == 0:
            days = sum(each.expected for each in self.cities)
            missing = sum(each.missing for each in self.cities)
            but = f" ({missing:,} slots without an observation)" if missing else ""
            return f"Complete: {days:,} station-days proved{but} {took}."
        counts = {
            "not fetched": sum(len(each.unfetched) for each in self.cities),
            "failed": sum(len(each.failed) for each in self.cities),
            "still open": sum(len(each.open) for each in self.cities),
        }
        words = ", ".join(f"{count:,} station-days {what}" for what, count in counts.items() if count)
        reason = f" {self.progress.ended}." if self.progress.ended else " Run the same command again later."
        return f"Incomplete {took}: {words or 'not everything could be fetched again'}.{reason}"


async def report(database: Database, plan: Plan, progress: Progress, source: Source, seconds: float) -> MinutesReport:
    held = await held_claims(database, plan.asked)
    cities = []
    for city, days in plan.expected.items():
        found = CityMinutes(
            city,
            len(days),
            reasons=dict(progress.rejected.get(city, Counter())),
            requests=progress.requests[city],
        )
        for day in days:
            _count(found, day, held.get((city.station.loc_id, day)))
        cities.append(found)
    return MinutesReport(cities, progress, source.name, seconds)


def _count(found: CityMinutes, day: date, claim: Claim | None) -> None:
    if claim is None:
        found.missing += SLOTS_A_DAY
        found.unfetched.append(day)
        return
    found.whole += claim.slots_missing == 0
    found.observed += claim.slots_observed
    found.filled += claim.slots_filled
    found.missing += claim.slots_missing
    found.rejected += claim.rows_rejected
    if claim.hourly:
        found.hourly[day] = claim.state
    if claim.state == "open":
        found.open.append(day)
    elif claim.state == "failed":
        found.failed.append(day)
    elif claim.slots_missing:
        found.thin[day] = claim.slots_missing


def _listed(title: str, lines: Sequence[str]) -> list[str]:
    if not lines:
        return []
    more = len(lines) - _LISTED
    return [f"\n{title}:", *(f"  {line}" for line in lines[:_LISTED]), *([f"  and {more:,} more"] if more > 0 else [])]
