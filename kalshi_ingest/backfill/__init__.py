"""The one-shot job: fetch all that past event dates hold, and prove it."""
