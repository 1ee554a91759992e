"""`weather minutes`: observations by the minute, a climate day at a time. `job` runs, `sources` opens its service."""
