"""The long-running service: closes the gap since the last run, then keeps every market current until it is stopped."""
