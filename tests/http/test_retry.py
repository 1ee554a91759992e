"""The loop that asks again, and how long it waits."""

from random import Random

import pytest

from kalshi_ingest.errors import BadPayload, ServerFailed, Transient
from kalshi_ingest.http.retry import RetryPolicy, may_pass, retried, retry_after


@pytest.mark.parametrize(("attempt", "bound"), [(1, 1.0), (2, 2.0), (5, 16.0), (6, 20.0), (7, 20.0), (5_000, 20.0)])
def test_delays_double_with_full_jitter_up_to_the_longest(attempt: int, bound: float) -> None:
    policy = RetryPolicy(random=Random(1))
    delays = [policy.delay(attempt) for _ in range(200)]
    assert 0 <= min(delays) < 0.05 * bound
    assert 0.95 * bound < max(delays) <= bound


async def test_only_what_may_pass_is_asked_again_until_the_judge_raises() -> None:
    answers: list[Exception | str] = [
        ServerFailed("1"),
        ServerFailed("2"),
        "there",
        ServerFailed("1"),
        BadPayload("no"),
    ]
    judged: list[tuple[str, int]] = []

    async def ask() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def failed(error: Transient, attempt: int) -> float:
        judged.append((str(error), attempt))
        return 0.0

    async def enough(error: Transient, attempt: int) -> float:
        raise BadPayload(f"{error} after {attempt}")

    assert await retried(ask, failed) == "there"
    with pytest.raises(BadPayload, match="no"):
        await retried(ask, failed)
    assert judged == [("1", 1), ("2", 2), ("1", 1)]
    answers.append(ServerFailed("broken"))
    with pytest.raises(BadPayload, match="broken after 1"):
        await retried(ask, enough)


def test_which_statuses_may_pass() -> None:
    assert [status for status in range(100, 500) if may_pass(status)] == [408, 425, 429]
    assert all(may_pass(status) for status in range(500, 600))


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("2.5", 2.5), ("-3", 0.0), ("nan", 0.0), ("inf", float("inf")), ("soon", None)]
)
def test_the_wait_that_an_answer_asks_for(header: str, seconds: float | None) -> None:
    assert retry_after({"Retry-After": header}) == seconds
    assert retry_after({}) is None
