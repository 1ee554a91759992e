"""Kalshi's API over HTTP and WebSocket: what is asked, how answers are read, whose fault a failure is."""
