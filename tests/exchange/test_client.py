"""The client over real HTTP, on a virtual clock: what it retries, what it refuses, and how it says so."""

import asyncio
import gzip
import socket
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest
from aiohttp import web

from kalshi_ingest.errors import (
    BadPayload,
    Disconnected,
    IngestError,
    OutOfReach,
    RateLimited,
    Rejected,
    ServerFailed,
)
from kalshi_ingest.exchange.client import MAX_BODY_BYTES, Client, Tally
from kalshi_ingest.exchange.costs import Costs
from kalshi_ingest.http.retry import RetryPolicy
from tests.exchange.serving import GRACE, Handler, Reply, Script, asking, raw_serving, serving
from tests.support import virtual_clock

GOOD = Reply(body=b'{"answer":42}')
ALIVE = Reply(body=b'{"exchange_active":true}')
HTML = b"<html><head><title>502 Bad Gateway</title></head><body><center>cloudflare</center></body></html>"


def identity(answer: Any) -> Any:
    return answer


def talk(
    script: Script, ask: Callable[[Client], Awaitable[Any]], retry: RetryPolicy | None = None, rate: float = 1000.0
) -> Any:
    """What `ask` makes of the exchange that `script` plays."""

    async def scenario() -> Any:
        async with serving(script.answer) as url, asking(url, retry, rate=rate) as client:
            return await ask(client)

    return virtual_clock.run(scenario(), grace=GRACE)


def get(script: Script, retry: RetryPolicy | None = None, path: str = "/thing") -> Any:
    return talk(script, lambda client: client.get(path, {}, identity), retry)


async def hang_up(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def cut_in_the_middle(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 100
    await response.prepare(request)
    await response.write(b'{"answer":')
    assert request.transport is not None
    request.transport.close()
    return response


async def silent(_: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError


async def silent_after_the_head(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    response.content_length = 100
    await response.prepare(request)
    return await silent(request)


async def drop_by_drop(request: web.Request) -> web.StreamResponse:
    """A byte every 15 s: never silent for long, never done."""
    response = web.StreamResponse()
    response.content_length = 10_000
    await response.prepare(request)
    while True:
        await response.write(b" ")
        await asyncio.sleep(15)


RETRIED = {
    **{str(status): Reply(status, b'{"error":"sorry"}') for status in (408, 425, 429, 500, 502, 503, 504, 520, 524)},
    "502 with HTML": Reply(502, HTML, {"Content-Type": "text/html"}),
    "503 without a body": Reply(503, b""),
    "200 with HTML": Reply(200, HTML, {"Content-Type": "text/html"}),
    "200 with truncated JSON": Reply(200, b'{"answer":4'),
    "200 without a body": Reply(200, b""),
    "200 with half a character": Reply(200, b'{"answer":"\xe2\x82"}'),
    "200 with half a surrogate pair": Reply(200, b'{"answer":"\\ud83d"}'),
    "200 with NaN": Reply(200, b'{"answer":NaN}'),
    "200 with a number beyond all bounds": Reply(200, b'{"answer":1e999}'),
    "200 nested without end": Reply(200, b"[" * 200_000),
    "cut": cut_in_the_middle,
    "silence": silent,
    "silence after the head": silent_after_the_head,
    "a byte now and then": drop_by_drop,
}


@pytest.mark.parametrize("trouble", RETRIED.values(), ids=RETRIED)
def test_what_may_pass_is_tried_again(trouble: Reply | Handler) -> None:
    script = Script(thing=[trouble, trouble, GOOD])
    tally = Tally()

    async def ask(client: Client) -> Any:
        answer = await client.get("/thing", {"a": "1"}, identity, tally)
        assert client.sent == 3
        return answer

    assert talk(script, ask) == {"answer": 42}
    assert [request.query for request in script.seen] == [{"a": "1"}] * 3, "every attempt sends every parameter"
    assert (tally.requests, tally.retries) == (3, 2)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b'{"rows":[{"floor_strike":1e400}]}', "1e400 is not a JSON number"),
        (b'{"rows":[{"floor_strike":NaN}]}', "NaN is not a JSON number"),
        (b'{"rows":[{"title":"\\ud83d"}]}', "surrogates not allowed"),
        (b'{"rows":[{"title":tru}]}', "char 18"),
        (b"[" * 200_000, "recursion"),
    ],
)
def test_an_answer_that_stays_no_json_is_not_asked_for_as_long_as_one_that_fails(body: bytes, reason: str) -> None:
    script = Script(thing=[Reply(200, body)], exchange__status=[ALIVE])
    with pytest.raises(ServerFailed, match=f"not JSON: .*{reason}.*4 attempts"):
        get(script)
    assert len(script.seen_at("/thing")) == 4


def test_a_connection_that_is_hung_up_is_tried_again() -> None:
    """aiohttp itself repeats a GET once when its connection turns out dead, so the client needs fewer attempts."""
    script = Script(thing=[GOOD, hang_up, hang_up, hang_up, GOOD])
    tally = Tally()

    async def ask(client: Client) -> Any:
        await client.get("/thing", {}, identity)
        return await client.get("/thing", {}, identity, tally)

    assert talk(script, ask) == {"answer": 42}
    assert len(script.seen) == 5
    assert tally.retries in (1, 2)


@pytest.mark.parametrize("status", [201, 204, 301, 302, 304, 307, 400, 401, 403, 404, 405, 410, 418, 422])
def test_what_will_not_pass_is_asked_once(status: int) -> None:
    where = {"Location": "/trade-api/v2/other", "Content-Type": "application/json"}
    script = Script(
        thing=[Reply(status, b'{"error":{"code":"c","message":"m"}}', where), GOOD],
        other=[GOOD],
        exchange__status=[ALIVE],
    )
    with pytest.raises(Rejected) as refused:
        get(script)
    assert refused.value.status == status
    assert str(status) in str(refused.value)
    assert [request.path for request in script.seen if request.path != "/exchange/status"] == ["/thing"]
    assert len(script.seen) <= 2, "the status tells whether it is this request that is refused"


WORDS = {
    "nested": (b'{"error":{"code":"bad_request","message":"bad request","details":"invalid cursor"}}', "bad_request"),
    "nested without code": (b'{"error":{"message":"bad request","details":"invalid cursor"}}', ""),
    "nested, details alone": (b'{"error":{"details":"invalid cursor"}}', ""),
    "nested, code alone": (b'{"error":{"code":"invalid cursor"}}', "invalid cursor"),
    "nested, null code": (b'{"error":{"code":null,"message":"invalid cursor"}}', ""),
    "flat": (b'{"code":"bad_request","message":"bad request","details":"invalid cursor"}', "bad_request"),
    "flat with a null error": (b'{"error":null,"code":"bad_request","message":"invalid cursor"}', "bad_request"),
    "string": (b'{"error":"invalid cursor"}', ""),
    "bare string": (b'"invalid cursor"', ""),
    "list": (b'["invalid cursor"]', ""),
    "HTML": (b"<html><title>400</title>\n<p>invalid   cursor</p></html>", ""),
    "text": (b"invalid cursor", ""),
}


@pytest.mark.parametrize(("body", "code"), WORDS.values(), ids=WORDS)
@pytest.mark.parametrize("status", [400, 503])
def test_the_exchanges_own_words_reach_the_user(body: bytes, code: str, status: int) -> None:
    script = Script(thing=[Reply(status, body)], exchange__status=[ALIVE])
    with pytest.raises(IngestError) as refused:
        get(script, RetryPolicy(attempts=2))
    message = str(refused.value)
    assert message.startswith(f"GET /thing: status {status}: ")
    assert "invalid cursor" in message
    assert "None" not in message
    if isinstance(refused.value, Rejected):
        assert refused.value.code == code


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"null", b'{"error":{}}', b'{"error":""}', b"\xff\xfe\x00"])
def test_an_error_without_words(body: bytes) -> None:
    with pytest.raises(Rejected, match="GET /thing: status 404"):
        get(Script(thing=[Reply(404, body)], exchange__status=[ALIVE]))


def test_an_endless_error_text_is_cut() -> None:
    for body in (b'{"error":"' + b"x" * 10_000 + b'"}', b"x" * 10_000):
        with pytest.raises(Rejected) as refused:
            get(Script(thing=[Reply(400, body)]))
        assert len(str(refused.value)) < 300


def test_raw_control_characters_inside_texts_are_taken() -> None:
    script = Script(thing=[Reply(200, b'{"rules":"one\x01\ttwo\nthree"}')])
    assert get(script) == {"rules": "one\x01\ttwo\nthree"}


@pytest.mark.parametrize("status", [200, 500])
def test_an_endless_body_is_refused_early(status: int) -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        while sent < 20 * MAX_BODY_BYTES:
            await response.write(b" " * 262_144)
            sent += 262_144
        return response

    script = Script(thing=[flood])
    with pytest.raises(BadPayload, match="larger than 16 MB"):
        get(script)
    assert len(script.seen) == 1
    assert MAX_BODY_BYTES <= sent < 2 * MAX_BODY_BYTES, "the rest stays on the server"


async def test_a_compressed_bomb_is_refused_too() -> None:
    """On the real clock: aiohttp unpacks in a thread, which a virtual clock does not see."""
    bomb = Reply(200, gzip.compress(b" " * (40 * 2**20)), {"Content-Encoding": "gzip"})
    async with serving(Script(thing=[bomb]).answer) as url, asking(url) as client:
        with pytest.raises(BadPayload, match="larger than 16 MB"):
            await client.get("/thing", {}, identity)


def test_the_largest_body_that_is_allowed() -> None:
    body = b'"' + b"x" * (MAX_BODY_BYTES - 2) + b'"'
    assert len(get(Script(thing=[Reply(200, body)]))) == MAX_BODY_BYTES - 2


# How long each phase may take, and what is said when it takes longer.

POLICY = RetryPolicy(
    attempts=1, first_delay=0.01, connect_timeout=1.0, read_timeout=2.0, total_timeout=30.0, longest_delay=0.1
)


async def timed(ask: Awaitable[Any]) -> tuple[float, Exception]:
    started = asyncio.get_running_loop().time()
    with pytest.raises(IngestError) as failed:
        await ask
    return asyncio.get_running_loop().time() - started, failed.value


@pytest.mark.parametrize(
    ("handler", "policy", "seconds"),
    [
        (silent, POLICY, 2.0),
        (silent_after_the_head, POLICY, 2.0),
        (drop_by_drop, RetryPolicy(attempts=1, read_timeout=20, total_timeout=90), 90.0),
    ],
)
def test_each_phase_of_an_answer_has_its_time(handler: Handler, policy: RetryPolicy, seconds: float) -> None:
    async def ask(client: Client) -> tuple[float, Exception]:
        return await timed(client.get("/thing", {}, identity))

    took, error = talk(Script(thing=[handler], exchange__status=[ALIVE]), ask, policy)
    assert seconds <= took < seconds + 1.1
    assert isinstance(error, Disconnected)
    assert "GET /thing: no complete answer within the time allowed" in str(error)


def test_connecting_has_its_time() -> None:
    async def scenario() -> tuple[float, Exception]:
        # A full backlog: further connections are neither taken nor refused.
        with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
            address = deaf.getsockname()
            held = [socket.socket() for _ in range(4)]
            for one in held:
                one.setblocking(False)
                one.connect_ex(address)
            try:
                async with asking(f"http://127.0.0.1:{address[1]}/trade-api/v2", POLICY) as client:
                    return await timed(client.get("/thing", {}, identity))
            finally:
                for one in held:
                    one.close()

    took, error = virtual_clock.run(scenario(), grace=GRACE)
    assert 2.0 <= took < 2.5, "one second for the request, one for the look at /exchange/status"
    assert isinstance(error, OutOfReach)


def test_nobody_listens() -> None:
    async def scenario() -> tuple[float, Exception]:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            port = gone.getsockname()[1]
        async with asking(f"http://127.0.0.1:{port}/trade-api/v2") as client:
            return await timed(client.get("/thing", {}, identity))

    took, error = virtual_clock.run(scenario(), grace=GRACE)
    assert isinstance(error, OutOfReach)
    assert "nothing is lost" in str(error)
    assert "7 attempts" in str(error)
    assert took < 1 + 2 + 4 + 8 + 16 + 20


GARBAGE = (
    b"",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"HTTP/1.1 abc\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}",
    b"HTTP/1.1 200 OK\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{}",
)


@pytest.mark.parametrize("answer", GARBAGE, ids=lambda answer: answer[:30])
def test_an_answer_that_is_no_http_counts_as_none(answer: bytes) -> None:
    async def babble(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await writer.drain()

    async def scenario() -> tuple[float, Exception]:
        async with raw_serving(babble) as url, asking(url, RetryPolicy(attempts=3)) as client:
            took = await timed(client.get("/thing", {}, identity))
            assert client.sent == 4, "three attempts and one look at the status"
            return took

    _, error = virtual_clock.run(scenario(), grace=GRACE)
    assert isinstance(error, OutOfReach)
    assert "GET /thing: " in str(error)


# How it waits, and what it says in the end.


def test_delays_double_with_full_jitter_up_to_the_longest() -> None:
    failed = Reply(500)
    bounds = [1.0, 2.0, 4.0, 8.0, 16.0, 20.0]
    waited: list[list[float]] = []

    async def ask(client: Client) -> None:
        for _ in range(30):
            with pytest.raises(ServerFailed):
                await client.get("/thing", {}, identity)

    script = Script(thing=[failed], exchange__status=[ALIVE])
    talk(script, ask)
    times = [request.at for request in script.seen_at("/thing")]
    assert len(times) == 30 * 7
    for start in range(0, len(times), 7):
        waited.append([later - earlier for earlier, later in pairwise(times[start : start + 7])])
    for attempt, bound in enumerate(bounds):
        delays = [one[attempt] for one in waited]
        assert max(delays) <= bound + 0.1
        assert max(delays) > 0.7 * bound, "the whole range is used"
        assert min(delays) < 0.3 * bound


def test_what_fails_while_the_exchange_lives_is_that_requests_own_failure() -> None:
    script = Script(thing=[Reply(500, b'{"error":"broken"}')], exchange__status=[ALIVE])
    with pytest.raises(ServerFailed, match=r"status 500: broken \(7 attempts\)"):
        get(script)
    assert len(script.seen_at("/thing")) == 7
    assert len(script.seen_at("/exchange/status")) == 1


@pytest.mark.parametrize("status", [Reply(503), Reply(403, HTML), Reply(200, HTML), hang_up, silent])
def test_what_fails_together_with_the_status_means_out_of_reach(status: Reply | Handler) -> None:
    with pytest.raises(OutOfReach, match=r"status 500: broken \(7 attempts\); run again later, nothing is lost"):
        get(Script(thing=[Reply(500, b'{"error":"broken"}')], exchange__status=[status]))


def test_a_status_that_never_ends_means_out_of_reach() -> None:
    async def flood(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(80):
            await response.write(b" " * 262_144)
        return response

    with pytest.raises(OutOfReach, match="status 500"):
        get(Script(thing=[Reply(500)], exchange__status=[flood]), RetryPolicy(attempts=1))


def test_others_answers_prove_that_the_exchange_lives() -> None:
    script = Script(thing=[Reply(500)], other=[GOOD], exchange__status=[Reply(500)])

    async def ask(client: Client) -> None:
        async def others() -> None:
            while True:
                await client.get("/other", {}, identity)
                await asyncio.sleep(1)

        going_on = asyncio.create_task(others())
        with pytest.raises(ServerFailed, match="7 attempts"):
            await client.get("/thing", {}, identity)
        going_on.cancel()

    talk(script, ask)
    assert script.seen_at("/exchange/status") == []


def test_an_answer_during_the_first_attempts_proves_nothing_about_the_last() -> None:
    """An exchange that goes away in the middle of a run is out of reach; it is not each market that failed."""
    script = Script(thing=[Reply(500)], other=[GOOD], exchange__status=[Reply(500)])

    async def ask(client: Client) -> None:
        failing = asyncio.create_task(client.get("/thing", {}, identity))
        await asyncio.sleep(0)
        await client.get("/other", {}, identity)
        with pytest.raises(OutOfReach):
            await failing

    talk(script, ask)


def test_answers_from_before_prove_nothing() -> None:
    script = Script(thing=[GOOD, Reply(500)], exchange__status=[Reply(500)])

    async def ask(client: Client) -> None:
        await client.get("/thing", {}, identity)
        with pytest.raises(OutOfReach):
            await client.get("/thing", {}, identity)

    talk(script, ask)


def test_a_reader_that_finds_the_answer_incomplete_has_it_asked_for_again() -> None:
    answers = iter(["not yet", "not yet", "there"])

    def read(_: Any) -> str:
        answer = next(answers)
        if answer == "not yet":
            raise ServerFailed(answer)
        return answer

    script = Script(thing=[GOOD])
    assert talk(script, lambda client: client.get("/thing", {}, read)) == "there"
    assert len(script.seen) == 3


def test_a_reader_that_finds_the_contract_broken_is_not_contradicted() -> None:
    def read(_: Any) -> None:
        raise BadPayload("no")

    script = Script(thing=[GOOD])
    with pytest.raises(BadPayload, match="no"):
        talk(script, lambda client: client.get("/thing", {}, read))
    assert len(script.seen) == 1


# 429.

BUSY = Reply(429, b'{"error":"too many requests"}')


def busy(retry_after: str) -> Reply:
    return Reply(429, BUSY.body, {"Retry-After": retry_after})


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (BUSY, 1.0),
        (busy("7"), 7.0),
        (busy("2.5"), 2.5),
        (busy("100000"), 60.0),
        (busy("-3"), 1.0),
        (busy("0"), 1.0),
        (busy("nan"), 1.0),
        (busy("inf"), 60.0),
        (busy("Wed, 21 Oct 2026 07:28:00 GMT"), 1.0),
        (busy("soon"), 1.0),
    ],
)
def test_after_a_429_everybody_waits_as_long_as_the_exchange_advises(reply: Reply, seconds: float) -> None:
    script = Script(thing=[reply, GOOD], other=[GOOD])

    async def ask(client: Client) -> None:
        async def other() -> None:
            await asyncio.sleep(0.5)
            await client.get("/other", {}, identity)

        await asyncio.gather(client.get("/thing", {}, identity), other())

    talk(script, ask)
    first, *later = script.seen
    assert len(later) == 2
    for request in later:
        assert seconds <= request.at - first.at < seconds + 0.1


def test_a_429_that_does_not_end_names_the_setting() -> None:
    script = Script(thing=[BUSY], exchange__status=[ALIVE])
    with pytest.raises(RateLimited, match=r"too many requests \(7 attempts\); set KALSHI_INGEST_REQUESTS_PER_SECOND"):
        get(script)
    times = [request.at for request in script.seen_at("/thing")]
    assert all(later - earlier >= 1 for earlier, later in pairwise(times))


def test_the_exchanges_pace_is_kept_by_all_requests_together() -> None:
    script = Script(thing=[GOOD])

    async def ask(client: Client) -> None:
        await asyncio.gather(*(client.get("/thing", {}, identity) for _ in range(100)))

    talk(script, ask, rate=20)
    assert 4.8 <= script.seen[-1].at - script.seen[0].at < 5.2


def test_dear_paths_are_paced_by_their_cost() -> None:
    script = Script(thing=[GOOD], other=[GOOD])

    async def ask(client: Client) -> None:
        client.costs = Costs(routes={"/thing": 5.0})
        for path in ("/thing", "/other"):
            for _ in range(20):
                await client.get(path, {}, identity)

    talk(script, ask, rate=20)
    dear, cheap = ([request.at for request in script.seen_at(path)] for path in ("/thing", "/other"))
    assert 4.4 <= dear[-1] - dear[0] <= 5
    assert 0.8 <= cheap[-1] - cheap[0] <= 1.05
