"""What may go wrong on the WebSocket, as one value."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelFaults:
    """Faults of pushed messages; 0 is never.

    Of every subscription each `drop_every`-th message is lost, which leaves a gap in `seq`, each `repeat_every`-th
    comes twice, and after `overflow_after` of them error 25 ends the subscription. After `close_after` messages of all
    its subscriptions a connection is closed. Lags are simulated seconds: `channel_lag_seconds` by which the channel
    tells of something after it happened, `rest_lag_seconds` by which every REST answer shows the exchange as it was.
    `heartbeat_seconds` is the real time between the server's pings, ten on the exchange.
    """

    drop_every: int = 0
    repeat_every: int = 0
    overflow_after: int = 0
    close_after: int = 0
    channel_lag_seconds: float = 0.0
    rest_lag_seconds: float = 0.0
    heartbeat_seconds: float = 10.0
