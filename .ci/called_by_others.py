"""What vulture cannot see used: names that something else than the two packages' Python calls or reads."""

# cyclopts imports a command by its name when it is wanted, and asks a formatter for the parts of its help.
_.coverage
_.backfill
_.demo
_.follow
_.simulate
_.render_usage
_.render_description

# pydantic reads the settings' class; structlog writes with the method of a line's level; prometheus_client asks for
# the metrics; aiohttp sends the length; cyclopts reads whether an error is to be told at length.
_.model_config
_.critical
_.collect
_.content_length
_.verbose

# Columns and JSON: written by `dataclasses.asdict` or in the order of the fields, and rows unpacked in that order.
_.is_block
_.preciptype
_.updated_at
_.strikes_from_subtitle
_.strikes_from_neighbours
_.days_missing
_.n_sources
_.tmax_twc_f
_.tmax_vc_f

# Templates of the pages.
_.badge
_.body_height
_.body_y
_.drawn
_.field_width
_.field_x
_.gist
_.good
_.height
_.volume_height
_.volume_y
_.wick
_.x

# The simulated exchange's own truth, which tests hold against what the program made of its answers.
_.market_tickers
_.trade_count
