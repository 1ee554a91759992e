"""The archive's files, without a database: schema, manifest, storage, writing, reading in bounded memory.

`storage` is the way in: a folder, or an object storage URI. `schema` is the contract with readers of the files.
Imports no `postgres` and no `exchange`.
"""
