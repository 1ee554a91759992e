"""Archives of the predecessor, read as if they were today's: `files` finds and opens them, `rows` converts."""
