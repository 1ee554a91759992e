"""The conversation on one WebSocket connection: what was asked, what is subscribed, what arrived. No I/O, no clock.

What arrives becomes events: claims that something happened, never data to be stored.
"""

from collections.abc import Callable, Collection, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from kalshi_ingest.errors import BadPayload, Rejected, Transient

TRADES, LIFECYCLE = "trade", "market_lifecycle_v2"

MARKETS_PER_COMMAND = 1_000
ANSWER_SECONDS = 10.0
"""A command that is not answered for so long never will be."""
CALM_SECONDS = 60.0
"""After so long without an error the next one counts as the first."""

_ENDED = frozenset({10, 25})
"""Channel error, buffer overflow: the subscription is gone."""
_BUSY = frozenset({18, 26, 27})
"""Command timeout, market limit, too many requests: the command may be sent again later."""


@dataclass(frozen=True, slots=True)
class Traded:
    """A trade took place; `created_ms` is Unix time in milliseconds, coarser than the microseconds REST gives."""

    ticker: str
    trade_id: bytes
    created_ms: int


@dataclass(frozen=True, slots=True)
class Changed:
    """The life of some market of the exchange moved on; `kind` is the exchange's word: created, activated, deactivated,
    close_date_updated, determined, settled, metadata_updated, price_level_structure_updated, or a new one."""

    ticker: str
    kind: str


@dataclass(frozen=True, slots=True)
class Watched:
    """From now on the trades of these markets are announced; those before have to be asked for over REST."""

    tickers: frozenset[str]


@dataclass(frozen=True, slots=True)
class Gap:
    """Messages were lost, or may have been: whatever is wanted has to be asked for over REST."""

    reason: str


Event = Traded | Changed | Watched | Gap


class OutOfStep(Transient):
    """Exchange and program no longer agree on what is subscribed: only a new connection helps."""


@dataclass(slots=True)
class _Subscription:
    channel: str
    sid: int
    markets: set[str]
    last_seq: int | None = None


@dataclass(frozen=True, slots=True)
class _Command:
    verb: str
    channel: str
    markets: frozenset[str] = frozenset()
    sid: int | None = None

    def message(self, number: int) -> dict[str, Any]:
        if self.verb == "subscribe":
            markets = {"market_tickers": sorted(self.markets)} if self.markets else {}
            return {"id": number, "cmd": "subscribe", "params": {"channels": [self.channel], **markets}}
        if self.verb == "unsubscribe":
            return {"id": number, "cmd": "unsubscribe", "params": {"sids": [self.sid]}}
        params = {"sids": [self.sid], "market_tickers": sorted(self.markets), "action": self.verb}
        return {"id": number, "cmd": "update_subscription", "params": params}


class Talk:
    """Says which command to send next, and what each message that was heard means.

    One command is under way at a time, so every answer has its question. Times are in seconds on any steady clock.
    """

    def __init__(self, tickers: Callable[[], Collection[str]], pause: Callable[[int], float]) -> None:
        """`tickers` gives the wanted markets, `pause` the seconds to hold back after the n-th error in a row."""
        self._tickers = tickers
        self._pause = pause
        self._subscriptions: dict[str, _Subscription] = {}
        self._wanted: frozenset[str] = frozenset()
        self._pending: _Command | None = None
        self._number = 0
        self._sent_at = 0.0
        self._errors = 0
        self._quiet_until = float("-inf")

    @property
    def waiting(self) -> bool:
        """Whether a command is under way."""
        return self._pending is not None

    @property
    def in_step(self) -> bool:
        """Whether everything that is wanted is announced, apart from markets that are just being added."""
        return LIFECYCLE in self._subscriptions and (TRADES in self._subscriptions or not self._wanted)

    @property
    def watched(self) -> frozenset[str]:
        """The markets whose trades are announced."""
        trades = self._subscriptions.get(TRADES)
        return frozenset() if trades is None else frozenset(trades.markets)

    def command(self, now: float) -> dict[str, Any] | None:
        """The next message towards the trades of exactly the wanted markets; None when none is to be sent now.

        Raises `OutOfStep` when the command before was never answered.
        """
        self._wanted = frozenset(self._tickers())
        if self._pending is not None:
            if now - self._sent_at > ANSWER_SECONDS:
                raise OutOfStep(f"{self._pending.verb} {self._pending.channel} was not answered")
            return None
        command = None if now < self._quiet_until else self._next(self._wanted)
        if command is None:
            return None
        self._pending, self._sent_at = command, now
        self._number += 1
        return command.message(self._number)

    def hear(self, message: dict[str, Any], now: float) -> list[Event]:
        """What one message means.

        Raises `BadPayload` for a trade that cannot be read, `OutOfStep` when the connection is of no more use, and
        `Rejected`, with the error's code as its status, when the exchange refuses a subscription.
        """
        kind, subscription = message.get("type"), self._subscription(whole(message.get("sid")))
        seq = whole(message.get("seq"))
        if kind == "trade" and (seq is None or whole(message.get("sid")) is None):
            raise BadPayload(f"a trade's {'seq' if seq is None else 'sid'} is missing or malformed")
        last = None if subscription is None else subscription.last_seq
        if subscription is not None and seq is not None:
            subscription.last_seq = max(seq, last or 0)
        missed = [Gap(f"{kind}: seq jumps from {last} to {seq}")] if last is not None and last + 1 < (seq or 0) else []
        if kind not in (TRADES, LIFECYCLE):
            return [*missed, *self._answered(message, subscription, now)]
        if last is not None and seq is not None and seq <= last:
            return []
        return [*missed, claimed] if (claimed := claim(message)) is not None else [*missed]

    def _next(self, wanted: frozenset[str]) -> _Command | None:
        if LIFECYCLE not in self._subscriptions:
            return _Command("subscribe", LIFECYCLE)
        trades = self._subscriptions.get(TRADES)
        if trades is None:
            # Without any market the command would subscribe to the trades of the whole exchange.
            return _Command("subscribe", TRADES, _batch(wanted)) if wanted else None
        if not wanted:
            return _Command("unsubscribe", TRADES, sid=trades.sid)
        gone, new = trades.markets - wanted, wanted - trades.markets
        # The last market is never taken out: what a subscription to none would cover is documented nowhere.
        if gone and gone < trades.markets:
            return _Command("delete_markets", TRADES, _batch(gone), trades.sid)
        return _Command("add_markets", TRADES, _batch(new), trades.sid) if new else None

    def _answered(self, message: dict[str, Any], subscription: _Subscription | None, now: float) -> list[Event]:
        kind, asked = message.get("type"), self._pending
        if "id" in message and message["id"] != self._number:
            asked = None
        if kind == "error":
            return self._failed(message, asked if "id" in message or subscription is None else None, subscription, now)
        if kind == "unsubscribed" and subscription is not None:
            meant = self._pending is not None and self._pending.verb == "unsubscribe"
            self._end(subscription)
            return [] if meant else [Gap(f"{subscription.channel}: the exchange ended the subscription")]
        if kind == "subscribed" and asked is not None and asked.verb == "subscribe":
            return self._subscribed(message, asked)
        if kind == "ok" and asked is not None and asked.verb in ("add_markets", "delete_markets"):
            return self._updated(asked)
        return []

    def _subscribed(self, message: dict[str, Any], asked: _Command) -> list[Event]:
        body = message.get("msg")
        sid = whole(body.get("sid")) if isinstance(body, dict) else None
        if sid is not None and isinstance(body, dict) and body.get("channel") == asked.channel:
            self._pending = None
            self._subscriptions[asked.channel] = _Subscription(asked.channel, sid, set(asked.markets))
        return []

    def _updated(self, asked: _Command) -> list[Event]:
        self._pending = None
        if asked.verb == "delete_markets":
            self._subscriptions[TRADES].markets -= asked.markets
            return []
        self._subscriptions[TRADES].markets |= asked.markets
        return [Watched(asked.markets)]

    def _failed(
        self, message: dict[str, Any], asked: _Command | None, subscription: _Subscription | None, now: float
    ) -> list[Event]:
        """Hold commands back, and take in what the error ended; `asked` is the command that it answers, if any."""
        code = error_code(message)
        self._errors = 1 if now - self._quiet_until > CALM_SECONDS else self._errors + 1
        self._quiet_until = now + self._pause(self._errors)
        if asked is not None:
            self._pending = None
            subscription = subscription or self._subscription(asked.sid)
        if code in _ENDED and subscription is not None:
            self._end(subscription)
            return [Gap(f"{subscription.channel}: error {code} ended the subscription")]
        if asked is None:
            if subscription is not None:
                return []
            raise OutOfStep(f"error {code}")
        if code in _BUSY or code in _ENDED:
            return []
        if asked.verb == "subscribe":
            raise Rejected(f"subscribe {asked.channel}: error {code}", code or 0)
        raise OutOfStep(f"error {code} to {asked.verb}")

    def _subscription(self, sid: int | None) -> _Subscription | None:
        return next((each for each in self._subscriptions.values() if each.sid == sid), None)

    def _end(self, subscription: _Subscription) -> None:
        del self._subscriptions[subscription.channel]
        if self._pending is not None and self._pending.sid == subscription.sid:
            self._pending = None


def error_code(message: dict[str, Any]) -> int | None:
    """The code of a message of type error, None when it has none or is of another type."""
    body = message.get("msg")
    return whole(body.get("code")) if message.get("type") == "error" and isinstance(body, dict) else None


def _batch(markets: Set[str]) -> frozenset[str]:
    return frozenset(sorted(markets)[:MARKETS_PER_COMMAND])


def decoded(data: str | bytes) -> dict[str, Any]:
    """The JSON object of one frame; `BadPayload`, without a word of the frame, when it is none."""
    try:
        message = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise BadPayload("a message is not JSON") from None
    if not isinstance(message, dict):
        raise BadPayload("a message is not a JSON object")
    return message


def claim(message: dict[str, Any]) -> Traded | Changed | None:
    """What a message claims; None for a kind that nobody here needs.

    A trade with a missing or malformed field raises `BadPayload` with the field named. A change of a market that
    cannot be read counts as none: the lists of markets are polled in any case.
    """
    body = message.get("msg")
    if message.get("type") == "trade":
        return _traded(body if isinstance(body, dict) else {})
    if message.get("type") == "market_lifecycle_v2" and isinstance(body, dict):
        ticker, kind = body.get("market_ticker"), body.get("event_type")
        if isinstance(ticker, str) and isinstance(kind, str):
            return Changed(ticker, kind)
    return None


def whole(value: object) -> int | None:
    """`value` if it is a whole number that is not negative, else None."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _traded(body: dict[str, Any]) -> Traded:
    ticker, created_ms = body.get("market_ticker"), whole(body.get("ts_ms"))
    if not isinstance(ticker, str) or not ticker:
        raise BadPayload("a trade's market_ticker is missing or malformed")
    if created_ms is None:
        raise BadPayload("a trade's ts_ms is missing or malformed")
    return Traded(ticker, _trade_id(body.get("trade_id")), created_ms)


def _trade_id(text: object) -> bytes:
    with suppress(ValueError):
        if isinstance(text, str) and str(identity := UUID(text)) == text.lower():
            return identity.bytes
    raise BadPayload("a trade's trade_id is missing or malformed")
