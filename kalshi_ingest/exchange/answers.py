"""An answer of the exchange, made into JSON or into the error that it means."""

import json
import math
from typing import Any

import orjson

from kalshi_ingest.errors import IngestError, RateLimited, Rejected, ServerFailed, ServiceUnusable
from kalshi_ingest.http.body import text_of
from kalshi_ingest.http.client import Answer
from kalshi_ingest.http.obstacles import MOVED
from kalshi_ingest.http.retry import may_pass, retry_after

MAX_BODY_BYTES = 16 * 2**20
"""The largest honest answer, 1,000 markets, is about 2.5 MB."""

_EXCERPT = 120
_LONGEST_RETRY_AFTER = 60.0


class Garbled(ServerFailed):
    """An answer that came whole and is not JSON. The next one may be, but patience will not make it so."""


class WebPage(ServerFailed):
    """An answer that is not JSON because somebody else gave it, or a gateway in trouble."""


def told_while_closed(body: bytes) -> Any:
    """The exchange's status, which may come with a server error while it is closed; None for any other body."""
    try:
        told = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return told if isinstance(told, dict) and "exchange_active" in told else None


def decoded(body: bytes, path: str) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        pass
    if body.lstrip()[:1] == b"<":
        raise WebPage(f"GET {path}: status 200 with a body that is not JSON but a web page: {text_of(body, _EXCERPT)}")
    try:  # one report tells of raw control characters inside the exchange's texts, which strict JSON forbids
        lenient = json.loads(body, strict=False, parse_constant=_finite, parse_float=_finite)
        orjson.dumps(lenient)  # it would take half surrogate pairs too, which no column can hold
        return lenient
    except (ValueError, TypeError, RecursionError) as error:
        kind = Garbled if body.strip() else ServerFailed
        raise kind(
            f"GET {path}: status 200 with a body that is not JSON: {error!s:.80}: {text_of(body, _EXCERPT)}"
        ) from None


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a JSON number")
    return number


def refusal(answer: Answer, path: str) -> IngestError:
    """The error that an answer of another status than 200 means."""
    code, reason = _reason(answer.body)
    message = f"GET {path}: status {answer.status}" + (f": {reason}" if reason else "")
    if answer.status == 429:
        wait = retry_after(answer.headers)
        return RateLimited(message, None if wait is None else min(wait, _LONGEST_RETRY_AFTER))
    return ServerFailed(message) if may_pass(answer.status) else Rejected(message, answer.status, code)


def _reason(body: bytes) -> tuple[str, str]:
    """(code, text) of an error body: flat, nested object, nested string, or a gateway's page."""
    try:
        decoded = orjson.loads(body)
    except orjson.JSONDecodeError:
        return "", text_of(body, _EXCERPT)
    error = (decoded.get("error") or decoded) if isinstance(decoded, dict) else decoded
    if not isinstance(error, dict):
        return "", str(error or "")[:200]
    words = [str(error[key]) for key in ("message", "details") if error.get(key)]
    code = str(error.get("code") or "")[:200]
    return code, ": ".join(words)[:200] or code


def refused_everywhere(error: Rejected, base_url: str, *, signed: bool) -> ServiceUnusable:
    """What it means that whoever asks from here is refused like this, and what to change."""
    if error.status in MOVED:
        return ServiceUnusable(str(error))
    if error.status not in (401, 403):
        advice = f"there is no API at {base_url}: check KALSHI_INGEST_API_URL, or upgrade this program"
    elif signed:
        return ServiceUnusable(
            f"the exchange refuses the API key: {error}; check KALSHI_INGEST_API_KEY_ID, KALSHI_INGEST_PRIVATE_KEY_PATH"
            " and this machine's clock, and that the exchange serves this network"
        )
    else:
        advice = "it may not serve this network: check that, or set an API key"
    return ServiceUnusable(f"the exchange refuses to answer: {error}; {advice}")
