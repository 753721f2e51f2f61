"""Decides whether what writers acknowledged and what a log holds are one story: nothing lost, or twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pytest_l402.billing.log.reader import LogDamaged, chain_of, records_of
from pytest_l402.billing.log.store import Segments

__all__ = ["broken_laws"]


def broken_laws(store: Segments, acknowledged: Iterable[bytes]) -> Sequence[str]:
    """What does not hold of a log, one line each; `acknowledged` are the bodies that were answered for.

    Every acknowledged record is in the log, and once. The sequence has no gap, epochs never decrease, and
    each has one writer; the reader holds it to that.
    """
    try:
        records = list(records_of(store, chain_of(store)))
    except LogDamaged as damage:
        return [str(damage)]
    have = Counter(body for _, _, body, _ in records)
    told = list(acknowledged)
    lost = [body for body in dict.fromkeys(told) if body not in have]
    broken = [f"acknowledged and not in the log: {body!r}" for body in lost]
    broken += [f"in the log {count} times: {body!r}" for body, count in have.items() if count > 1]
    broken += [f"acknowledged {count} times: {body!r}" for body, count in Counter(told).items() if count > 1]
    return broken
