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
        as_fast_as,
        balance,
        cache_is_log,
        counted,
        finalized_in_time,
        logged,
        lost_at_most,
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
    from pytest_l402.billing.processes import Zygote
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
    "Zygote",
    "agrees",
    "answered",
    "answered_within",
    "as_fast_as",
    "balance",
    "broken_laws",
    "cache_is_log",
    "counted",
    "crashes",
    "finalized_in_time",
    "logged",
    "lost_at_most",
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
    "API": "billing",
    "CONSTRAINTS": "guard",
    "BackendStub": "backend",
    "Billing": "billing",
    "BillingFault": "faults",
    "CacheMissing": "cache_server",
    "CacheServer": "cache_server",
    "CrashState": "log.crash_states",
    "Fenced": "log.writer",
    "Folder": "log.store",
    "LogWriter": "log.writer",
    "NotSoInTime": "billing",
    "SimulatedDisk": "log.crash_states",
    "Zygote": "processes",
    "agrees": "checks",
    "answered": "checks",
    "answered_within": "checks",
    "as_fast_as": "checks",
    "balance": "checks",
    "broken_laws": "log.law",
    "cache_is_log": "checks",
    "counted": "checks",
    "crashes": "log.schedules",
    "finalized_in_time": "checks",
    "logged": "checks",
    "lost_at_most": "checks",
    "lost_in": "log.crash_states",
    "measured": "checks",
    "nothing_twice": "standing",
    "one_writer_an_epoch": "standing",
    "only_refusals": "checks",
    "over_a_frozen_holder": "log.schedules",
    "over_a_live_holder": "log.schedules",
    "same_state": "checks",
    "served_only_settled": "standing",
    "standing_checks": "standing",
    "tokens_once": "checks",
    "zero_sum": "standing",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__} has no {name}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
