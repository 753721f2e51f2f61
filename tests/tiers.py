"""Which cases of a table the fast tier runs, the same ones for everybody; the slow tier has the rest."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import pytest

ParameterSet = type(pytest.param())


def sampled(cases: Sequence[Any], count: int, seed: str) -> list[Any]:
    """Return all cases as parameters, in their order, with all but `count` of them marked slow.

    A case is a value, a tuple of several, or a `pytest.param`. Workers that collect apart must agree, so what
    is drawn depends on the seed alone.
    """
    fast = set(random.Random(seed).sample(range(len(cases)), count))
    return [case if place in fast else _slow(case) for place, case in enumerate(cases)]


def _slow(case: Any) -> Any:
    if isinstance(case, ParameterSet):
        return pytest.param(*case.values, id=case.id, marks=(*case.marks, pytest.mark.slow))
    return pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=pytest.mark.slow)
