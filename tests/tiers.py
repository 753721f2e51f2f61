"""Which cases of a table the fast tier runs, the same ones for everybody; the slow tier has the rest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest


def sampled(cases: Sequence[Any], count: int, seed: str) -> list[Any]:
    """Return all cases as parameters, in their order, with all but `count` of them marked slow.

    A case that is a tuple gives several parameters. Workers that collect apart must agree, so what is drawn
    depends on the seed alone.
    """
    fast = set(random.Random(seed).sample(range(len(cases)), count))
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)), marks=() if place in fast else pytest.mark.slow
        )
        for place, case in enumerate(cases)
    ]
