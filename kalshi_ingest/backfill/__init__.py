"""The one-shot job: fetch all that past event dates hold, and prove it.

`job` runs discovery and workers (both in `ingest`) around one writer until everything is proved or listed as not;
`live_display` shows it on a terminal, `summary` names the outcome. Imports no other capability.
"""
