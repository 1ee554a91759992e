"""The long-running service: closes the gap since the last run, then keeps every market current until it is stopped.

`service` survives losses, `session` is everything between two of them: pollers and WebSocket inform `scheduler`, which
keeps one `market_state` per market and decides what its workers fetch next. `periodic_jobs` adds the weather, which is
why this capability may import `weather`, and no other.
"""
