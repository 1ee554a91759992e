"""`weather settlement`: the official daily maxima.

`plan` picks the days that are due, `fetch` requests them, `job` stores each batch in one transaction with the settled
maximum that follows from it, `report` compares the result with what the markets paid.
"""
