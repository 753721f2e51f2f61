"""A billing service whose log is the truth, in processes of its own, and what holds of it."""

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
