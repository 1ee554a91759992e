"""Cursors are read back as they were written, and agree with recorded ones."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from kalshi_simulator.cursors import list_cursor, read_list_cursor, read_trade_cursor, trade_cursor
from kalshi_simulator.wire import parse_time

MICROS = st.integers(0, 4_000_000_000_000_000)


@given(MICROS, st.text(min_size=1, max_size=200))
def test_list_cursors(created: int, ticker: str) -> None:
    assert read_list_cursor(list_cursor(created, ticker)) == (created, ticker)


@given(MICROS, st.uuids())
def test_trade_cursors(created: int, trade_id: UUID) -> None:
    assert read_trade_cursor(trade_cursor((created, str(trade_id)))) == (created, str(trade_id))


def test_recorded_list_cursor() -> None:
    created = parse_time("2026-09-04T09:33:38.358793Z")
    recorded = "CgwI8qDq1AYQqP6KqwESF0tYSElHSExBWC0yNlNFUDA1LUI3NS41"
    assert list_cursor(created, "KXHIGHLAX-26SEP05-B75.5") == recorded


def test_recorded_trade_cursor() -> None:
    recorded = "EhIKEAch1qJsoZRwe5ExpK18vYcaDAia3ezUBhCwhq6BAw"
    key = (parse_time("2026-09-04T20:48:26.808158Z"), "0721d6a2-6ca1-9470-7b91-31a4ad7cbd87")
    assert trade_cursor(key) == recorded
    assert read_trade_cursor(recorded) == key
