"""The token bucket, signed budgets, statistics and latency."""

from __future__ import annotations

import base64
import time

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from kalshi_simulator import Faults, Limits, RowsWorld, Simulator
from kalshi_simulator.budget import TokenBucket
from tests.simulator.support import Api, served

PATH = "/historical/cutoff"
SIGNED = {"KALSHI-ACCESS-KEY": "k", "KALSHI-ACCESS-TIMESTAMP": "1", "KALSHI-ACCESS-SIGNATURE": "s"}


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def taken(bucket: TokenBucket, tries: int) -> int:
    return sum(bucket.take() for _ in range(tries))


def test_the_burst_is_the_capacity_and_the_refill_is_continuous() -> None:
    clock = Clock()
    bucket = TokenBucket(20, 2.0, clock)
    assert (bucket.refill_rate, bucket.capacity) == (200, 400)
    assert taken(bucket, 100) == 40
    clock.seconds += 0.049
    assert taken(bucket, 5) == 0
    clock.seconds += 0.001
    assert taken(bucket, 5) == 1
    clock.seconds += 1
    assert taken(bucket, 100) == 20
    clock.seconds += 1_000
    assert taken(bucket, 100) == 40


def test_a_steady_pace_at_the_rate_is_never_refused() -> None:
    clock = Clock()
    bucket = TokenBucket(5, 0.0, clock)
    assert bucket.capacity == 10
    for _ in range(1_000):
        assert bucket.take()
        clock.seconds += 0.2


async def statuses(api: Api, count: int, headers: dict[str, str] | None = None) -> list[int]:
    found = []
    for _ in range(count):
        async with api.session.get(api.url + PATH, headers=headers) as response:
            found.append(response.status)
            await response.read()
    return found


async def test_refused_requests_get_429_with_a_string_and_no_header() -> None:
    clock = Clock()
    simulator = Simulator(RowsWorld(), Limits(requests_per_second=2), clock=clock)
    async with served(simulator) as api:
        assert await statuses(api, 6) == [200] * 4 + [429] * 2
        async with api.session.get(api.url + PATH) as response:
            assert await response.json() == {"error": "too many requests"}
            assert "Retry-After" not in response.headers
        clock.seconds += 0.5
        assert await statuses(api, 2) == [200, 429]
        stats = simulator.stats
        assert (stats.total, stats.answered_200, stats.throttled, stats.tokens_spent) == (9, 5, 4, 50)
        assert stats.throttled_after(1.0) == 0
        clock.seconds += 9.5
        assert await statuses(api, 5) == [200] * 4 + [429]
        assert stats.throttled_after(1.0) == 1
        assert (stats.first_request, stats.last_request) == (100.0, 110.0)
        assert stats.tokens_spent == 90
        stats.reset()
        assert (stats.total, stats.throttled, stats.first_request) == (0, 0, None)


async def test_retry_after_on_request() -> None:
    simulator = Simulator(
        RowsWorld(), Limits(requests_per_second=1, burst_seconds=0), Faults(retry_after=1.5), clock=Clock()
    )
    async with served(simulator) as api:
        await api.get(PATH)
        async with api.session.get(api.url + PATH) as response:
            assert response.status == 429
            assert response.headers["Retry-After"] == "1.5"


async def test_signed_requests_have_their_own_budget_and_see_it() -> None:
    limits = Limits(requests_per_second=1, authenticated_requests_per_second=30)
    async with served(Simulator(RowsWorld(), limits, clock=Clock())) as api:
        assert await statuses(api, 3) == [200, 200, 429]
        assert await statuses(api, 50, SIGNED) == [200] * 50
        async with api.session.get(api.url + "/account/limits", headers=SIGNED) as response:
            body = await response.json()
        assert body["usage_tier"] == "basic"
        assert body["read"] == {"refill_rate": 300, "bucket_capacity": 600}
        assert body.keys() == {"usage_tier", "read", "write", "grants"}


@pytest.mark.parametrize("missing", SIGNED)
async def test_account_limits_need_all_three_headers(missing: str) -> None:
    async with served(Simulator(RowsWorld())) as api:
        headers = {name: value for name, value in SIGNED.items() if name != missing}
        async with api.session.get(api.url + "/account/limits", headers=headers) as response:
            assert response.status == 401


async def test_signatures_are_verified_over_timestamp_method_and_path() -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    scheme = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=padding.PSS.DIGEST_LENGTH)

    def headers(message: str) -> dict[str, str]:
        signature = base64.b64encode(key.sign(message.encode(), scheme, hashes.SHA256())).decode()
        return SIGNED | {"KALSHI-ACCESS-TIMESTAMP": "1700000000000", "KALSHI-ACCESS-SIGNATURE": signature}

    good = "1700000000000GET/trade-api/v2/account/limits"
    wrong = ("1700000000001GET/trade-api/v2/account/limits", f"{good}?a=1", good.replace("GET", "POST"))
    async with served(Simulator(RowsWorld(), Limits(public_key_pem=pem))) as api:
        for message, status in [(good, 200), *((text, 401) for text in wrong)]:
            async with api.session.get(
                api.url + "/account/limits", params={"a": "1"}, headers=headers(message)
            ) as response:
                assert response.status == status, message
        assert (await statuses(api, 1)) == [200]
        assert (await statuses(api, 1, SIGNED)) == [401]


async def test_latency_is_added_to_each_answer() -> None:
    async with served(Simulator(RowsWorld(), Limits(latency=0.03))) as api:
        await api.get(PATH)
        started = time.perf_counter()
        for _ in range(4):
            await api.get(PATH)
        assert time.perf_counter() - started > 4 * 0.015
