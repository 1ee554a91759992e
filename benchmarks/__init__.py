"""Measures this program against its own bars, on the machine at hand: `python -m benchmarks`."""
