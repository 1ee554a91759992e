"""`export` and `load`: the tables as Parquet files, and such files, or the predecessor's, back into the tables.

`export` and `load` hold the two jobs. Before a load writes, `verification` compares each file with the manifest, each
row with `rules` and the candles with the trades (`candle_proof`). `queries` has the statements; those of `merge` decide
what is taken of markets that the database holds too. The files themselves, without a database, are `parquet`'s.
Imports no other capability and no `cli`.
"""
