"""The command line: one module per command, which opens what is needed, runs a job and prints the outcome.

The only place that builds things, reads settings and clock, and chooses exit codes.
"""

from kalshi_ingest.cli.entry import main

__all__ = ["main"]
