"""PostgreSQL: connection, locks, migrations, COPY, the one writer, checkpoints.

`database` is one connection that comes back by itself; `writer` commits rows, candles and checkpoint together;
`embedded` runs a server of its own. Statements that only one capability needs are in that room's `queries`. Knows no
exchange and no job.
"""
