"""The checker: what should be held and is not, per city and day, and what closes each hole.

`rules` judge and are pure, `queries` read what they judge, `job` puts both together; the rest reports.
"""
