"""`export` and `load`: the tables as Parquet files, and such files, or the predecessor's, back into the tables.

`export` and `load` hold the two jobs. A load merges: `rules` and `checks` decide row by row which of two is right,
`verification` compares what was stored with what the manifest promises, `queries` has the statements. The files
themselves, without a database, are `parquet`'s. Imports no other capability and no `cli`.
"""
