"""Kalshi's daily high-temperature markets in PostgreSQL, complete and provably so."""
