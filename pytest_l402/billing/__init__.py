"""A billing service whose log is the truth, in processes of its own, and what holds of it.

What is asked for here is imported when it is asked for: an instance of the service needs none of the checks.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_l402.billing.backend import BackendStub
    from pytest_l402.billing.billing import API, Billing, NotSoInTime
    from pytest_l402.billing.cache_server import CacheMissing, CacheServer
    from pytest_l402.billing.checks import (
        agrees,
        answered,
        answered_within,
        balance,
        cache_is_log,
        counted,
        finalized_in_time,
        logged,
        measured,
        only_refusals,
        same_state,
        tokens_once,
    )
    from pytest_l402.billing.faults import BillingFault
    from pytest_l402.billing.guard import CONSTRAINTS
    from pytest_l402.billing.log.crash_states import CrashState, SimulatedDisk, lost_in
    from pytest_l402.billing.log.law import broken_laws
    from pytest_l402.billing.log.schedules import crashes, over_a_frozen_holder, over_a_live_holder
    from pytest_l402.billing.log.store import Folder
    from pytest_l402.billing.log.writer import Fenced, LogWriter
    from pytest_l402.billing.standing import (
        nothing_twice,
        one_writer_an_epoch,
        served_only_settled,
        standing_checks,
        zero_sum,
    )

__all__ = [
    "API",
    "CONSTRAINTS",
    "BackendStub",
    "Billing",
    "BillingFault",
    "CacheMissing",
    "CacheServer",
    "CrashState",
    "Fenced",
    "Folder",
    "LogWriter",
    "NotSoInTime",
    "SimulatedDisk",
    "agrees",
    "answered",
    "answered_within",
    "balance",
    "broken_laws",
    "cache_is_log",
    "counted",
    "crashes",
    "finalized_in_time",
    "logged",
    "lost_in",
    "measured",
    "nothing_twice",
    "one_writer_an_epoch",
    "only_refusals",
    "over_a_frozen_holder",
    "over_a_live_holder",
    "same_state",
    "served_only_settled",
    "standing_checks",
    "tokens_once",
    "zero_sum",
]

_MODULES: Final = {
    "API": "backend",
    "CONSTRAINTS": "faults",
    "BackendStub": "backend",
    "Billing": "backend",
    "BillingFault": "faults",
    "CacheMissing": "cache_server",
    "CacheServer": "cache_server",
    "CrashState": "log.crash_states",
    "Fenced": "log.writer",
    "Folder": "log.schedules",
    "LogWriter": "log.writer",
    "NotSoInTime": "backend",
    "SimulatedDisk": "log.crash_states",
    "agrees": "cache_server",
    "answered": "cache_server",
    "answered_within": "cache_server",
    "balance": "cache_server",
    "broken_laws": "log.crash_states",
    "cache_is_log": "cache_server",
    "counted": "cache_server",
    "crashes": "log.schedules",
    "finalized_in_time": "cache_server",
    "logged": "cache_server",
    "lost_in": "log.crash_states",
    "measured": "cache_server",
    "nothing_twice": "log.writer",
    "one_writer_an_epoch": "log.writer",
    "only_refusals": "cache_server",
    "over_a_frozen_holder": "log.schedules",
    "over_a_live_holder": "log.schedules",
    "same_state": "cache_server",
    "served_only_settled": "log.writer",
    "standing_checks": "log.writer",
    "tokens_once": "cache_server",
    "zero_sum": "log.writer",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
