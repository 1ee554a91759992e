"""From all that was reported to one official maximum: precedence, conflicts, and that arrival does not matter."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalshi_ingest.domain.settlement import Observation, Source, settle

DAY = date(2025, 5, 7)
END = datetime(2025, 5, 8, 6, tzinfo=UTC)
LATER = datetime(2025, 6, 1, tzinfo=UTC)


def told(
    source: Source,
    tmax: object,
    hours: float | None = 1.0,
    *,
    full: bool | None = None,
    text: bool = False,
    flag: str | None = None,
) -> Observation:
    """An observation issued so many hours after the end of the day."""
    issued = None if hours is None else END + timedelta(hours=hours)
    return Observation(
        "KMDW",
        DAY,
        source,
        None if issued is None else f"{issued:%Y%m%d%H%M}-KLOT-CDUS43-CLIMDW",
        None if text else f"{source}{tmax}{hours}",
        issued,
        LATER,
        (issued is None or issued >= END) if full is None else full,
        None if tmax is None else Decimal(str(tmax)),
        flag,
    )


def cli(tmax: object, hours: float = 1.0, **changes: Any) -> Observation:
    return replace(told(Source.CLI, tmax, hours, text=True), **changes)


PARTIAL = cli(80, -8)
ROW = told(Source.CLI, 86, 4)
CF6, IEM_CF6, GHCND = told(Source.CF6, 88, 5), told(Source.IEM_CF6, 89, 5), told(Source.GHCND, 90, None)


@pytest.mark.parametrize(
    ("observations", "final", "source", "preliminary"),
    [
        ([cli(87), cli(86, 3), ROW, CF6, IEM_CF6, GHCND, PARTIAL], 87, "CLI", False),
        ([ROW, CF6, IEM_CF6, GHCND, PARTIAL], 86, "CLI", False),
        ([CF6, IEM_CF6, GHCND, PARTIAL], 88, "CF6", False),
        ([IEM_CF6, GHCND, PARTIAL], 89, "IEM_CF6", False),
        ([GHCND, PARTIAL], 90, "GHCND", False),
        ([PARTIAL, told(Source.CF6, 79, -8)], 80, "CLI", True),
        ([told(Source.CF6, 79, -8), told(Source.IEM_CF6, 78, -8)], 79, "CF6", True),
        ([told(Source.IEM_CF6, 78, -8)], 78, "IEM_CF6", True),
        ([cli(None), PARTIAL], 80, "CLI", True),
        ([cli(None), IEM_CF6], 89, "IEM_CF6", False),
        ([cli(None), cli(85, 3)], 85, "CLI", False),
        ([replace(GHCND, flag="failed its quality check (X)"), PARTIAL], 80, "CLI", True),
        ([told(Source.VC, "91.4", None), told(Source.TWC, 91, None)], None, None, True),
        ([], None, None, True),
    ],
)
def test_precedence(
    observations: Sequence[Observation], final: int | None, source: str | None, preliminary: bool
) -> None:
    settled = settle(observations)
    assert (settled.tmax_final_f, settled.source, settled.is_preliminary) == (final, source, preliminary)


def test_the_columns_beside_it() -> None:
    diagnosis = [told(Source.VC, "91.4", None), told(Source.TWC, 90, None)]
    settled = settle([PARTIAL, cli(90), cli(85, 3), told(Source.CLI, 85, 3), IEM_CF6, GHCND, *diagnosis])
    assert (settled.tmax_cli_first_f, settled.tmax_cli_f) == (90, 85)
    assert (settled.tmax_cf6_f, settled.tmax_iem_cf6_f, settled.tmax_ghcnd_f) == (None, 89, 90)
    assert (settled.tmax_twc_f, settled.tmax_vc_f) == (90, Decimal("91.4"))
    assert (settled.n_sources, settled.conflict) == (3, "warning")
    assert settled.note == "CLI corrected: 90, then 85"


@pytest.mark.parametrize(("other", "conflict"), [(87, None), (88, "note"), (86, "note"), (85, "warning")])
def test_conflicts(other: int, conflict: str | None) -> None:
    assert settle([cli(87), told(Source.GHCND, other, None)]).conflict == conflict
    assert settle([cli(80, -8), told(Source.IEM_CF6, 70, -8)]).conflict is None


def test_a_filled_gap_and_a_first_that_is_not_known_say_so() -> None:
    assert settle([IEM_CF6]).note == "no full-day CLI states a maximum: filled from IEM_CF6"
    assert "whether this was the first is not known" in (settle([ROW]).note or "")
    assert settle([ROW]).tmax_cli_first_f is None


UNREAD = cli(None, 1.0, flag="202505080700-KLOT-CDUS43-CLIMDW: the maximum cannot be read")


@pytest.mark.parametrize(
    ("others", "final"),
    [
        ([cli(84, 3)], 84),
        ([cli(84, 3), cli(83, 5)], 84),
        ([told(Source.CLI, 86, 1), cli(84, 3)], 86),
        ([told(Source.CLI, 84, 3)], 84),
    ],
)
@pytest.mark.parametrize("unread", [UNREAD, replace(UNREAD, issued_at=None, product_id=None, payload_sha256="x")])
def test_after_a_text_that_cannot_be_read_none_is_the_first(
    unread: Observation, others: list[Observation], final: int
) -> None:
    """What IEM read in the same report counts before a later text, but only our own reading proves a first."""
    settled = settle([unread, *others, GHCND])
    assert (settled.tmax_final_f, settled.source, settled.is_preliminary) == (final, "CLI", False)
    assert settled.tmax_cli_first_f is None
    assert "could not be read: whether this was the first is not known" in (settled.note or "")
    assert "the maximum cannot be read" in (settled.note or "")


def test_a_correction_that_cannot_be_read_leaves_the_first() -> None:
    settled = settle([cli(86, 0.5), UNREAD])
    assert (settled.tmax_final_f, settled.tmax_cli_first_f) == (86, 86)
    assert "not known" not in (settled.note or "")
    assert settle([UNREAD, IEM_CF6]).note == (
        "no full-day CLI states a maximum: filled from IEM_CF6; "
        "CLI: 202505080700-KLOT-CDUS43-CLIMDW: the maximum cannot be read"
    )
    partial = replace(UNREAD, is_full_day=False)
    assert settle([partial, cli(86, 3)]).tmax_cli_first_f == 86


def test_halves_are_rounded_up() -> None:
    assert [settle([told(Source.GHCND, t, None)]).tmax_ghcnd_f for t in ("64.5", "64.4", "-0.5", "-1.5")] == [
        *(65, 64),
        *(0, -1),
    ]


def test_iems_row_of_a_partial_sent_late_does_not_settle_when_its_text_is_here() -> None:
    stray = cli(70, 16, is_full_day=False, flag="contradicts")
    row = told(Source.CLI, 70, 16)
    settled = settle([cli(87), row, stray])
    assert (settled.tmax_final_f, settled.tmax_cli_f) == (87, 87)
    assert settled.note == "CLI: contradicts"


_OBSERVATIONS = st.builds(
    lambda source, tmax, hours, text, flag: told(
        source, tmax, hours, text=text and source is Source.CLI, flag="odd" if flag else None
    ),
    st.sampled_from(Source),
    st.none() | st.integers(60, 100),
    st.integers(-20, 60).map(lambda quarter: quarter / 4),
    st.booleans(),
    st.integers(0, 9).map(lambda n: n == 0),
)


@given(st.lists(_OBSERVATIONS, max_size=12), st.integers())
def test_the_order_of_arrival_does_not_matter(observations: list[Observation], seed: int) -> None:
    shuffled = list(observations)
    Random(seed).shuffle(shuffled)
    assert settle(shuffled) == settle(observations)


@given(st.lists(_OBSERVATIONS, max_size=10), st.integers(40, 120))
def test_a_partial_never_replaces_a_full_day(observations: list[Observation], tmax: int) -> None:
    settled = settle(observations)
    if not settled.is_preliminary:
        for partial in (cli(tmax, -0.1, is_full_day=False), cli(tmax, 99.1, is_full_day=False)):
            after = settle([*observations, partial])
            assert (after.tmax_final_f, after.source) == (settled.tmax_final_f, settled.source)
            assert after.tmax_cli_first_f == settled.tmax_cli_first_f


@given(st.lists(_OBSERVATIONS, max_size=10), st.integers(40, 120))
def test_later_reports_never_change_what_was_settled_on(observations: list[Observation], tmax: int) -> None:
    settled = settle(observations)
    if settled.tmax_cli_first_f is not None:
        after = settle([*observations, cli(tmax, 99), told(Source.CLI, tmax, 100)])
        assert (after.tmax_final_f, after.tmax_cli_first_f) == (settled.tmax_final_f, settled.tmax_cli_first_f)
        assert after.tmax_cli_f == tmax


@given(st.lists(_OBSERVATIONS, max_size=10), st.integers(40, 120), st.sampled_from([Source.CLI, Source.IEM_CF6]))
def test_an_older_report_never_replaces_a_newer_one(observations: list[Observation], tmax: int, source: Source) -> None:
    newest = told(source, 77, 50)
    known = [*observations, newest]
    older = told(source, tmax, 0.1)
    with_older = settle([*known, older])
    column = "tmax_cli_f" if source is Source.CLI else "tmax_iem_cf6_f"
    assert getattr(with_older, column) == getattr(settle(known), column) == 77
