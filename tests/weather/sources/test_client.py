"""One GET to a weather service over real HTTP, on a virtual clock."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from itertools import pairwise
from random import Random
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from kalshi_ingest.errors import BadPayload, OutOfReach
from kalshi_ingest.http.address import address_of
from kalshi_ingest.http.client import new_session
from kalshi_ingest.weather.sources import client
from kalshi_ingest.weather.sources.client import PATIENCE, Refused, Service
from tests.exchange.serving import GRACE, Handler, Reply, Script, serving
from tests.support import virtual_clock

GOOD = Reply(body=b"temperatures")
BUSY = Reply(503, b"ERROR: server over capacity, please try later")
KEY = "se/cret key"


def talk(
    thing: Sequence[Reply | Handler], ask: Callable[[Service], Awaitable[Any]], **options: Any
) -> tuple[Any, Service, Script]:
    """What `ask` makes of a service that answers from a script."""
    script = Script(thing=thing)

    async def scenario() -> tuple[Any, Service]:
        async with serving(script.answer) as url, new_session() as http:
            settings: dict[str, Any] = {"requests_per_second": 1.0, "retry": PATIENCE} | options
            settings["retry"] = replace(settings["retry"], random=Random(1))
            address = address_of("IEM", url, secret=settings.pop("secret", None))
            service = Service(http, address, **settings)
            return await ask(service), service

    answer, service = virtual_clock.run(scenario(), grace=GRACE)
    return answer, service, script


def get(*thing: Reply | Handler, **options: Any) -> tuple[Any, Service, Script]:
    return talk(thing, lambda service: service.get("/thing", {"a": "b"}), **options)


def test_an_answer_and_who_asked() -> None:
    body, service, script = get(GOOD)
    assert body == b"temperatures"
    assert script.seen[0].headers["User-Agent"] == "kalshi-ingest"
    assert (service.requests, service.retries) == (1, 0)


def test_repeated_parameters() -> None:
    seen: list[list[str]] = []

    async def answer(request: web.Request) -> web.StreamResponse:
        seen.append(request.query.getall("station"))
        return web.Response()

    talk([answer], lambda service: service.get("/thing", [("station", "MDW"), ("station", "AUS")]))
    assert seen == [["MDW", "AUS"]]


def test_the_pace_holds_for_all_who_ask() -> None:
    async def many(service: Service) -> None:
        await asyncio.gather(*(service.get("/thing", {}) for _ in range(5)))

    _, _, script = talk([GOOD], many, concurrency=3)
    assert all(after.at - before.at > 0.99 for before, after in pairwise(script.seen))
    assert script.seen[-1].at < 4.2


@pytest.mark.parametrize("concurrency", [1, 2])
def test_no_more_at_once_than_allowed(concurrency: int) -> None:
    under_way = most = 0

    async def slow(_: web.Request) -> web.StreamResponse:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(10)
        under_way -= 1
        return web.Response()

    async def many(service: Service) -> None:
        await asyncio.gather(*(service.get("/thing", {}) for _ in range(4)))

    talk([slow], many, concurrency=concurrency)
    assert most == concurrency


@pytest.mark.parametrize("status", [429, 500, 502, 503, 520, 522, 524, 530])
def test_what_may_pass_is_asked_again(status: int) -> None:
    body, service, script = get(Reply(status), Reply(status), GOOD)
    assert body == b"temperatures"
    assert (len(script.seen), service.requests, service.retries) == (3, 3, 2)


async def _hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.mark.parametrize("bad", [_hang_up, _silent])
def test_a_lost_or_silent_connection_is_asked_again(bad: Handler) -> None:
    assert get(bad, GOOD)[0] == b"temperatures"


def test_retry_after_is_waited_for_by_everybody() -> None:
    async def two(service: Service) -> None:
        first = asyncio.create_task(service.get("/thing", {}))
        await asyncio.sleep(20)
        await asyncio.gather(first, service.get("/thing", {}))

    _, _, script = talk([Reply(429, headers={"Retry-After": "40"}), GOOD], two)
    assert [40 <= request.at - script.seen[0].at < 43 for request in script.seen] == [False, True, True]


def test_a_long_retry_after_is_not_waited_for() -> None:
    with pytest.raises(OutOfReach, match=r"IEM is out of reach: GET /thing: status 429.*wait 3600 s"):
        get(Reply(429, headers={"Retry-After": "3600"}), GOOD)


def test_the_waits_double_with_full_jitter() -> None:
    retry = replace(PATIENCE, attempts=200, longest_delay=8)
    _, _, script = get(*[BUSY] * 199, GOOD, retry=retry, requests_per_second=1_000)
    waits = [after.at - before.at for before, after in pairwise(script.seen)]
    assert min(waits[3:]) < 0.5
    assert 7.5 < max(waits) < 8.2
    assert waits[0] < 2.1


def test_a_service_that_stays_away_is_named() -> None:
    with pytest.raises(OutOfReach, match=r"IEM is out of reach: GET /thing: status 503: ERROR: server over .*6 att"):
        get(BUSY)


def test_nobody_listens() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}"

        async def scenario() -> None:
            async with aiohttp.ClientSession() as http:
                await Service(http, address_of("NCEI", url), requests_per_second=1).get("/data", {})

        with pytest.raises(OutOfReach, match="NCEI is out of reach: GET /data"):
            virtual_clock.run(scenario(), grace=GRACE)


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_refusal_has_status_and_first_words(status: int) -> None:
    with pytest.raises(Refused) as caught:
        get(Reply(status, b"<html>Unknown   station\nprovided</html>"))
    assert (caught.value.status, caught.value.text) == (status, "Unknown station provided")
    advice = "; check KALSHI_INGEST_IEM_URL" if status == 404 else ""
    assert str(caught.value) == f"IEM: GET /thing: status {status}: Unknown station provided{advice}"


def test_a_caller_can_judge_a_429_himself() -> None:
    with pytest.raises(Refused, match="maximum number of daily result records") as caught:
        get(
            Reply(429, b"You have exceeded the maximum number of daily result records for your account."),
            judged={429},
        )
    assert caught.value.status == 429


@pytest.mark.parametrize("status", [401, 503])
def test_the_key_never_shows(status: int) -> None:
    body = f"No account with key '{KEY}' (se%2Fcret%20key, se%2Fcret+key)".encode()
    with pytest.raises((Refused, OutOfReach)) as caught:
        talk([Reply(status, body)], lambda service: service.get("/thing", {"key": KEY}), secret=KEY)
    told = f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__dict__}"
    assert "***" in told
    assert "cret" not in told


def test_a_body_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MAX_BODY_BYTES", 2**20)
    with pytest.raises(BadPayload, match="IEM: GET /thing: the answer is larger than 1 MB"):
        get(Reply(body=b"x" * (2**20 + 1)))


def test_a_wait_can_be_cancelled() -> None:
    async def give_up(service: Service) -> float:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(service.get("/thing", {}), 5)
        return asyncio.get_running_loop().time()

    ended, _, _ = talk([Reply(429, headers={"Retry-After": "100"})], give_up)
    assert ended < 6


def test_after_a_request_that_nobody_answered_the_next_is_tried_once() -> None:
    with socket.socket() as held:  # bound, but not listening
        held.bind(("127.0.0.1", 0))
        address = address_of("IEM", f"http://127.0.0.1:{held.getsockname()[1]}")

        async def scenario() -> list[int]:
            async with aiohttp.ClientSession() as http:
                service = Service(http, address, requests_per_second=1.0)
                sent = []
                for _ in range(3):
                    with pytest.raises(OutOfReach):
                        await service.get("/thing", {})
                    sent.append(service.requests)
                return sent

        with capture_logs() as logged:
            assert virtual_clock.run(scenario(), grace=GRACE) == [6, 7, 8]
    (line,) = logged
    assert (line["event"], line["service"]) == ("weather_service_unreachable", "IEM")


def test_a_service_that_refuses_or_is_ill_is_asked_as_often_as_ever() -> None:
    async def ask(service: Service) -> None:
        for _ in range(2):
            with pytest.raises(OutOfReach):
                await service.get("/thing", {})

    _, service, _ = talk([Reply(500)] * 12, ask)
    assert service.requests == 12
