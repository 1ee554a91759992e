"""The cutoff, the exchange's state, and what an account may spend."""

from __future__ import annotations

from datetime import date

from kalshi_simulator.budget import COST
from kalshi_simulator.exchange import Call, Exchange
from kalshi_simulator.refusals import unauthorized
from kalshi_simulator.wire import DAY, Row, day_start, dump, time_text, to_micros

_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_ORDERS_APART = day_start(date(2026, 9, 24))
_ORDERS_AGE = 14 * DAY


def get_cutoff(exchange: Exchange, _: Call) -> bytes:
    """`GET /historical/cutoff`: RFC 3339 values, midnight UTC so far. The one of orders left the others in 2026."""
    world = exchange.world
    moment = orders = time_text(to_micros(world.cutoff))
    if world.clock.micros >= _ORDERS_APART:
        orders = time_text(world.clock.micros // DAY * DAY - _ORDERS_AGE)
    return dump(
        {
            "market_positions_last_updated_ts": moment,
            "market_settled_ts": moment,
            "orders_updated_ts": orders,
            "trades_created_ts": moment,
        }
    )


def get_status(exchange: Exchange, _: Call) -> bytes:
    """`GET /exchange/status`: open for business, or when it will be."""
    resumes = exchange.faults.faults.maintenance.resumes(exchange.world.clock.now)
    names = ("exchange_active", "trading_active", "intra_exchange_transfers_active")
    active: Row = dict.fromkeys(names, resumes is None)
    index = {"exchange_index": 0, "description": "Default exchange", **active}
    body = {**active, "exchange_index_statuses": [index]}
    return dump(body if resumes is None else body | {"exchange_estimated_resume_time": time_text(to_micros(resumes))})


def get_schedule(exchange: Exchange, _: Call) -> bytes:
    """`GET /exchange/schedule`: always open but for Thursday 03:00 to 05:00 Eastern, and the announced windows."""
    hours: Row = {day: [{"close_time": "00:00", "open_time": "00:00"}] for day in _DAYS}
    hours["thursday"] = [
        {"close_time": "03:00", "open_time": "00:00"},
        {"close_time": "00:00", "open_time": "05:00"},
    ]
    hours |= {"start_time": "2021-01-01T00:00:00Z", "end_time": "2099-12-31T00:00:00Z"}
    windows = exchange.faults.faults.maintenance.announced()
    return dump({"schedule": {"maintenance_windows": windows, "standard_hours": [hours]}})


def get_limits(exchange: Exchange, call: Call) -> bytes:
    """`GET /account/limits`: for signed requests only."""
    if not call.signed:
        raise unauthorized()
    rate, capacity = exchange.budgets.reported()
    bucket = {"bucket_capacity": capacity, "refill_rate": rate}
    return dump({"grants": [], "read": bucket, "usage_tier": "basic", "write": bucket})


def get_costs(_: Exchange, __: Call) -> bytes:
    """`GET /account/endpoint_costs`: only costs that differ from the default are listed, and none does."""
    return dump({"default_cost": COST, "endpoint_costs": []})
