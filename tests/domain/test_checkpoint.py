"""What a sum of trades proves."""

from dataclasses import replace
from datetime import date

import pytest

from kalshi_ingest.domain.checkpoint import Checkpoint, State, Verdict, verdict_on

PROVED = Checkpoint(
    "M", "KXHIGHCHI", date(2025, 7, 1), State.COMPLETE, exchange_volume=413, verdict=Verdict.EXACT, settled_first=True
)


@pytest.mark.parametrize(
    ("contracts", "volume", "expected"),
    [
        (0, 0, Verdict.EXACT),
        (413, 413, Verdict.EXACT),
        (412, 413, Verdict.SHORT),
        (0, 1, Verdict.SHORT),
        (414, 413, Verdict.OVER),
        (1, 0, Verdict.OVER),
        (0, None, Verdict.UNKNOWN),
        (413, None, Verdict.UNKNOWN),
    ],
)
def test_verdict(contracts: int, volume: int | None, expected: Verdict) -> None:
    assert verdict_on(contracts, volume) is expected


def test_only_a_complete_market_is_proved_and_only_against_the_volume_stated_now() -> None:
    assert PROVED.is_proved(413)
    assert not PROVED.is_proved(414)
    assert not PROVED.is_proved(None)
    assert replace(PROVED, exchange_volume=None, verdict=Verdict.UNKNOWN).is_proved(None)
    for state in set(State) - {State.COMPLETE}:
        assert not replace(PROVED, state=state).is_proved(413)
