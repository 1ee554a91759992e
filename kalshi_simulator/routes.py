"""Every route of the API: name, path below /trade-api/v2, and its answer. The first match counts."""

from __future__ import annotations

from kalshi_simulator.exchange import Answer
from kalshi_simulator.routes_account import get_costs, get_cutoff, get_limits, get_schedule, get_status
from kalshi_simulator.routes_candles import get_batch_candles, get_candles, get_historical_candles
from kalshi_simulator.routes_events import get_event, get_series, list_events, list_series
from kalshi_simulator.routes_markets import (
    get_historical_market,
    get_market,
    list_historical_markets,
    list_markets,
)
from kalshi_simulator.routes_trades import list_historical_trades, list_trades

ROUTES: tuple[tuple[str, str, Answer], ...] = (
    ("series_list", "/series", list_series),
    ("series", "/series/{ticker}", get_series),
    ("candlesticks", "/series/{series}/markets/{ticker}/candlesticks", get_candles),
    ("events", "/events", list_events),
    ("event", "/events/{ticker}", get_event),
    ("markets", "/markets", list_markets),
    ("trades", "/markets/trades", list_trades),
    ("batch_candlesticks", "/markets/candlesticks", get_batch_candles),
    ("market", "/markets/{ticker}", get_market),
    ("historical_cutoff", "/historical/cutoff", get_cutoff),
    ("historical_markets", "/historical/markets", list_historical_markets),
    ("historical_trades", "/historical/trades", list_historical_trades),
    ("historical_market", "/historical/markets/{ticker}", get_historical_market),
    ("historical_candlesticks", "/historical/markets/{ticker}/candlesticks", get_historical_candles),
    ("exchange_status", "/exchange/status", get_status),
    ("exchange_schedule", "/exchange/schedule", get_schedule),
    ("account_limits", "/account/limits", get_limits),
    ("endpoint_costs", "/account/endpoint_costs", get_costs),
)
