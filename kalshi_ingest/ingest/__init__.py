"""What backfill and follow share: find the markets, walk them, record the run, stop in time.

`discovery` lists markets and makes tasks of those that no checkpoint proves, `worker` walks one market from the
exchange into the writer, `run_log` keeps the run's row, `cancellation` ends it, `resources` opens and closes what a
job works with. Knows no capability above it.
"""
