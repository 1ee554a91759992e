"""What the market believes in each moment of an event: one probability per bin, summing to one.

A forecast that drifts to the settled temperature, with an error that shrinks as the day goes by. So the
six yes prices of an event are coherent at any moment, and end near 0.99 for the winner and 0.01 elsewhere.
"""

from __future__ import annotations

import math
import random

STEPS = 128
"""Moments in the path, evenly spaced over the trading time of a template."""


def belief_path(bins: int, winner: int, rng: random.Random) -> list[list[float]]:
    """`STEPS` rows of one probability per bin, oldest first, for an event won by bin number `winner`."""
    edges = [2.0 * number - (bins - 2) for number in range(bins - 1)]
    if winner == 0:
        final = edges[0] - 1.2
    elif winner == bins - 1:
        final = edges[-1] + 1.2
    else:
        final = edges[winner - 1] + 1.0
    guess = 0.5 * final + rng.gauss(0, 1.0)
    wobble = 0.0
    path = []
    for step in range(STEPS):
        known = min(1.0, step / (0.82 * STEPS)) ** 2.2
        wobble = 0.9 * wobble + rng.gauss(0, 0.25)
        middle = final * known + (guess + wobble) * (1 - known)
        spread = 0.3 + 2.6 * (1 - known)
        below = [0.0, *(_normal((edge - middle) / spread) for edge in edges), 1.0]
        path.append([below[number + 1] - below[number] for number in range(bins)])
    return path


def _normal(score: float) -> float:
    return 0.5 * (1 + math.erf(score / math.sqrt(2)))
