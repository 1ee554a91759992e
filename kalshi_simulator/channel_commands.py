"""The commands of a WebSocket connection and their answers, in the words of the exchange's AsyncAPI 2.0.0."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import orjson

from kalshi_simulator.channel_messages import LIFECYCLE, TRADE
from kalshi_simulator.wire import Row

_CHANNELS = frozenset({LIFECYCLE, TRADE})
"""The exchange has more. Here they are refused as unknown: silence would keep a client waiting for ever."""

_ERRORS = {
    1: "Unable to process message",
    2: "Params required",
    3: "Channels required",
    4: "Subscription IDs required",
    5: "Unknown command",
    7: "Unknown subscription ID",
    8: "Unknown channel name",
    11: "Invalid parameter",
    12: "Exactly one subscription ID is required",
    13: "Unsupported action",
    14: "Market Ticker required",
    15: "Action required",
    25: "Subscription buffer overflow",
}


class CommandError(Exception):
    """A command is refused with one of the exchange's codes."""

    def __init__(self, code: int) -> None:
        super().__init__(_ERRORS[code])
        self.code = code


@dataclass(slots=True)
class Subscription:
    """One channel of one connection; without `tickers` it covers every market."""

    sid: int
    channel: str
    tickers: set[str] | None
    seq: int = 0
    """Number of the last message, lost ones included. Answers that name the subscription are numbered with it."""

    pushed: int = 0
    """Messages about what happened, lost ones included."""

    def covers(self, channel: str, ticker: str) -> bool:
        """Whether it is told of something that happened to this market."""
        return self.channel == channel and (self.tickers is None or ticker in self.tickers)

    def numbered(self, kind: str) -> Row:
        """The beginning of the next message."""
        self.seq += 1
        return {"type": kind, "sid": self.sid, "seq": self.seq}


class Subscriptions:
    """What one connection has subscribed to. A connection counts its subscriptions from 1."""

    def __init__(self) -> None:
        self.by_sid: dict[int, Subscription] = {}
        self._last = 0

    def wants(self, channel: str, ticker: str) -> bool:
        """Whether anything is subscribed to this channel for this market."""
        return any(subscription.covers(channel, ticker) for subscription in self.by_sid.values())

    def overflow(self, subscription: Subscription) -> Row:
        """End a subscription, as the exchange does where a client reads too slowly."""
        del self.by_sid[subscription.sid]
        return subscription.numbered("error") | {"msg": {"code": 25, "msg": _ERRORS[25]}}

    def answer(self, text: str) -> Iterator[Row]:
        """The answers to one message of the client."""
        number: Row = {}
        try:
            command = _object(text)
            if isinstance(command.get("id"), int) and command["id"]:  # 0 counts as none
                number = {"id": command["id"]}
            name = command.get("cmd")
            act = _COMMANDS.get(name) if isinstance(name, str) else None
            if act is None:
                raise CommandError(5)
            params = command.get("params")
            if not isinstance(params, dict) and name != "list_subscriptions":
                raise CommandError(2)
            for reply in act(self, params or {}):
                yield number | reply
        except CommandError as error:
            yield number | {"type": "error", "msg": {"code": error.code, "msg": str(error)}}

    def _subscribe(self, params: Row) -> Iterator[Row]:
        channels = params.get("channels")
        if not isinstance(channels, list) or not channels:
            raise CommandError(3)
        if not all(isinstance(channel, str) and channel in _CHANNELS for channel in channels):
            raise CommandError(8)
        tickers = _tickers(params)
        for channel in channels:
            self._last += 1
            only = None if channel == LIFECYCLE or tickers is None else set(tickers)  # the lifecycle has no filter
            self.by_sid[self._last] = Subscription(self._last, channel, only)
            yield {"type": "subscribed", "msg": {"channel": channel, "sid": self._last}}

    def _unsubscribe(self, params: Row) -> Iterator[Row]:
        sids = params.get("sids")
        if not isinstance(sids, list) or not sids:
            raise CommandError(4)
        for sid in sids:
            subscription = self._known(sid)
            del self.by_sid[subscription.sid]
            yield subscription.numbered("unsubscribed")

    def _update(self, params: Row) -> Iterator[Row]:
        sids = [params["sid"]] if "sid" in params else params.get("sids")
        if not isinstance(sids, list) or len(sids) != 1 or ("sid" in params and "sids" in params):
            raise CommandError(12)
        subscription = self._known(sids[0])
        action = params.get("action")
        if not action:
            raise CommandError(15)
        if action not in ("add_markets", "delete_markets") or subscription.channel == LIFECYCLE:
            raise CommandError(13)
        tickers = _tickers(params)
        if tickers is None:
            raise CommandError(14)
        if subscription.tickers is not None:  # else it covers every market, and goes on to
            change = set.update if action == "add_markets" else set.difference_update
            change(subscription.tickers, tickers)
        yield subscription.numbered("ok") | {"msg": {"market_tickers": sorted(subscription.tickers or ())}}

    def _list(self, _: Row) -> Iterator[Row]:
        held = [{"channel": each.channel, "sid": each.sid} for each in self.by_sid.values()]
        yield {"type": "ok", "msg": held}

    def _known(self, sid: object) -> Subscription:
        if not isinstance(sid, int) or sid not in self.by_sid:
            raise CommandError(7)
        return self.by_sid[sid]


_COMMANDS: dict[str, Callable[[Subscriptions, Row], Iterator[Row]]] = {
    "subscribe": Subscriptions._subscribe,
    "unsubscribe": Subscriptions._unsubscribe,
    "update_subscription": Subscriptions._update,
    "list_subscriptions": Subscriptions._list,
}


def _object(text: str) -> Row:
    try:
        command = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise CommandError(1) from None
    if not isinstance(command, dict):
        raise CommandError(1)
    return command


def _tickers(params: Row) -> list[str] | None:
    """The markets that a command names, one or several, or None."""
    one, several = params.get("market_ticker"), params.get("market_tickers")
    if one is not None and several is not None:
        raise CommandError(11)
    named = several if one is None else [one]
    if named is None:
        return None
    if not isinstance(named, list) or not named or not all(isinstance(ticker, str) for ticker in named):
        raise CommandError(11)
    return named
