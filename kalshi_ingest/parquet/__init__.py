"""The archive's files: schema, manifest, storage (local or object storage), writing, reading in bounded memory."""
