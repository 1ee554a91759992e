"""A key, for the clients of the exchange."""

from tests.exchange.conftest import key_file

__all__ = ["key_file"]
