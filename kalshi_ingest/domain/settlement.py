"""From everything that was ever reported about a climate day to its one official maximum.

`settle` is a function of the set of observations: the order in which they came does not matter, an older report never
takes the place of a newer one, and a partial report never that of a complete one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum

from kalshi_ingest.domain.calendar import climate_day_utc
from kalshi_ingest.domain.cities import City

REPORTED_AFTER = timedelta(hours=12)
"""Full-day reports come within hours of the end of the climate day; before that a day is not missing yet."""


class Source(StrEnum):
    """Who states a maximum."""

    CLI = "CLI"
    """NWS daily climate report."""
    CF6 = "CF6"
    """NWS monthly form, its text."""
    IEM_CF6 = "IEM_CF6"
    """The monthly form through IEM's JSON."""
    GHCND = "GHCND"
    """GHCN-Daily through NCEI."""
    TWC = "TWC"
    """The Weather Company: a cross-check, never settles."""
    VC = "VC"
    """Maximum of Visual Crossing's minutes: a diagnosis, never settles."""


SETTLING = (Source.CLI, Source.CF6, Source.IEM_CF6, Source.GHCND)
"""Those that may state the official maximum of a whole day, the preferred one first."""
_PRELIMINARY = SETTLING[:3]


@dataclass(frozen=True, slots=True)
class Observation:
    """One maximum that one source stated once."""

    loc_id: str
    date_local: date
    """The climate day."""
    source: Source
    product_id: str | None
    """None where the source numbers nothing."""
    payload_sha256: str | None
    """None for a report whose own text was read: its product id says all."""
    issued_at: datetime | None
    """UTC; None where the source does not say."""
    retrieved_at: datetime
    """UTC."""
    is_full_day: bool
    tmax_f: Decimal | None
    """°F; None: reported as missing; with a flag: a text that could not be read."""
    flag: str | None = None
    """Why it may not count: a quality flag, or the text could not be read."""

    @property
    def is_unread(self) -> bool:
        """Whether it stands for a full-day report of which is only known that it was issued."""
        return self.source is Source.CLI and self.is_full_day and self.tmax_f is None and self.flag is not None


@dataclass(frozen=True, slots=True)
class Reported:
    """An observation and what it was read from."""

    observation: Observation
    raw: str
    """JSON: the source's own object, or its text as a JSON string."""


@dataclass(frozen=True, slots=True)
class Settlement:
    """One row of wx.settlement without its key; temperatures in °F."""

    tmax_final_f: int | None
    source: Source | None
    is_preliminary: bool
    tmax_cli_f: int | None
    tmax_cli_first_f: int | None
    tmax_cf6_f: int | None
    tmax_iem_cf6_f: int | None
    tmax_ghcnd_f: int | None
    tmax_twc_f: int | None
    tmax_vc_f: Decimal | None
    conflict: str | None
    """note: full-day sources differ by 1 °F; warning: by more."""
    note: str | None
    n_sources: int


def settle(observations: Iterable[Observation]) -> Settlement:
    """The official maximum of the one climate day that all `observations` are about.

    Precedence: first full-day CLI that states a value (only a text can prove to be the first), any full-day CLI, CF6,
    IEM_CF6, GHCND that passed its quality check; and while there is none of these, the newest partial CLI, CF6 or
    IEM_CF6, as preliminary. Where a text that may have been the first cannot be read, none is proved to be, and the
    earliest value that is known counts.
    """
    ordered = sorted(_without_copies(list(observations)), key=_age)
    full = {source: [o for o in ordered if o.source is source and o.is_full_day and _counts(o)] for source in Source}
    part = {
        source: [o for o in ordered if o.source is source and not o.is_full_day and _counts(o)] for source in Source
    }
    newest = {source: (full[source] or part[source])[-1] for source in Source if full[source] or part[source]}
    first = next((o for o in full[Source.CLI] if o.payload_sha256 is None), None)
    unread = [o for o in ordered if o.is_unread and (first is None or o.issued_at is None or _age(o) < _age(first))]
    if unread:
        first = None
    earliest = full[Source.CLI][0] if unread and full[Source.CLI] else None
    chosen = first or earliest or next((full[source][-1] for source in SETTLING if full[source]), None)
    preliminary = chosen is None
    if chosen is None:
        chosen = next((part[source][-1] for source in _PRELIMINARY if part[source]), None)
    final = _degrees(chosen)
    stated = [source for source in SETTLING if full[source]]
    apart = [abs(value - final) for s in stated if final is not None and (value := _degrees(full[s][-1])) is not None]
    differs = 0 if preliminary else max(apart, default=0)
    return Settlement(
        tmax_final_f=final,
        source=None if chosen is None else chosen.source,
        is_preliminary=preliminary,
        tmax_cli_f=_degrees(newest.get(Source.CLI)),
        tmax_cli_first_f=_degrees(first),
        tmax_cf6_f=_degrees(newest.get(Source.CF6)),
        tmax_iem_cf6_f=_degrees(newest.get(Source.IEM_CF6)),
        tmax_ghcnd_f=_degrees(newest.get(Source.GHCND)),
        tmax_twc_f=_degrees(newest.get(Source.TWC)),
        tmax_vc_f=newest[Source.VC].tmax_f if Source.VC in newest else None,
        conflict=None if differs == 0 else "note" if differs == 1 else "warning",
        note=_note(ordered, full, None if preliminary else chosen, unread=bool(unread)),
        n_sources=len(stated),
    )


def is_due(city: City, day: date, now: datetime) -> bool:
    """Whether a full-day report of the climate day has to be there."""
    return now >= climate_day_utc(city, day)[1] + REPORTED_AFTER


def _without_copies(observations: Sequence[Observation]) -> list[Observation]:
    """Leave out what a service made of a report whose own text is here: the text knows whether it is partial."""
    texts = {(o.source, o.issued_at) for o in observations if o.payload_sha256 is None and not o.is_unread}
    return [o for o in observations if o.payload_sha256 is None or (o.source, o.issued_at) not in texts]


def _age(observation: Observation) -> tuple[datetime, datetime, str, str]:
    """Oldest first, by issue time, or where there is none by the time it was first seen."""
    o = observation
    return o.issued_at or o.retrieved_at, o.retrieved_at, o.product_id or "", o.payload_sha256 or ""


def _counts(observation: Observation) -> bool:
    failed = observation.source is Source.GHCND and observation.flag is not None
    return observation.tmax_f is not None and not failed


def _degrees(observation: Observation | None) -> int | None:
    """Whole °F, half up."""
    if observation is None or observation.tmax_f is None:
        return None
    return int((observation.tmax_f + Decimal("0.5")).to_integral_value(ROUND_FLOOR))


def _note(
    ordered: Sequence[Observation],
    full: dict[Source, list[Observation]],
    chosen: Observation | None,
    *,
    unread: bool,
) -> str | None:
    """What a reader should know of the day, in words."""
    notes = []
    reports = [value for o in full[Source.CLI] if (value := _degrees(o)) is not None]
    changes = [value for n, value in enumerate(reports) if n == 0 or value != reports[n - 1]]
    if len(changes) > 1:
        notes.append(f"CLI corrected: {', then '.join(map(str, changes))}")
    if chosen is not None and chosen.source is not Source.CLI:
        notes.append(f"no full-day CLI states a maximum: filled from {chosen.source}")
    if chosen is not None and chosen.source is Source.CLI and unread:
        notes.append("a full-day CLI could not be read: whether this was the first is not known")
    elif chosen is not None and chosen.source is Source.CLI and chosen.payload_sha256 is not None:
        notes.append("no text of a full-day CLI is held: whether this was the first is not known")
    notes += sorted({f"{o.source}: {o.flag}" for o in ordered if o.flag is not None})
    return "; ".join(notes) or None
