"""The payment platform in stand-ins that speak HTTP and check real cryptography."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pytest_l402.contract.payment import PaymentError
from pytest_l402.contract.settlement_event import (
    InvalidPreimage,
    SettlementConflict,
    SettlementEvent,
    SettlementRefused,
)
from pytest_l402.harness.clock import StackClock, SystemClock
from pytest_l402.harness.faults import Fault, Faults
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.journal import Journal
from pytest_l402.harness.network import Network, NetworkUnreachable, Request, Response
from pytest_l402.harness.randomness import SeededRandomness, SystemRandomness
from pytest_l402.ops.full_flow.flow import FlowPurchase
from pytest_l402.ops.reconcile.gateway_probes import GatewayProbes, ProbeReport
from pytest_l402.stack.books.projection import Projection
from pytest_l402.stack.books.store import SettlementStore
from pytest_l402.stack.buyer.attributed import Answer, Attributed, AttributedExecutor, Buyer
from pytest_l402.stack.buyer.executor import Executor
from pytest_l402.stack.buyer.forger import Forger, Presented
from pytest_l402.stack.buyer.policy import BuyerPolicy
from pytest_l402.stack.buyer.purchase import CacheStatus, Purchase, PurchaseStatus
from pytest_l402.stack.buyer.wallet import (
    AmountOverCap,
    InvoiceNotPayable,
    Payment,
    PaymentAlreadyMade,
    PaymentFailed,
    PaymentPendingError,
    PreimageNotReturned,
    Wallet,
    WalletIsLocked,
)
from pytest_l402.stack.control.control_plane import ControlPlane
from pytest_l402.stack.control.paywalls import Paywall
from pytest_l402.stack.control.task_board import InvalidTransition, Task, UnknownTask
from pytest_l402.stack.faults import (
    ActiveLookupFailure,
    ChallengeFailure,
    DeployedChallengeWrong,
    DeployedUnhealthy,
    DeployedUpstreamUnreachable,
    DeployFailure,
    ExecutorStops,
    GatewayDown,
    HeartbeatStopped,
    NodeDegraded,
    PaymentFailure,
    PaymentPending,
    PaymentSlow,
    PaywallNotCompilable,
    PreimageMissing,
    ProjectionProofMismatch,
    ProjectionStale,
    RollbackFailure,
    SettlementDelayed,
    SettlementLost,
    SettlementProofMismatch,
    UpstreamDown,
    UpstreamFailure,
    WalletLocked,
)
from pytest_l402.stack.full_flow.run import FullFlowRun, run_full_flow
from pytest_l402.stack.gateway.gateway import Gateway
from pytest_l402.stack.gateway.lightning_node import LightningNode
from pytest_l402.stack.gateway.profile import APERTURE, PROFILES, SINGLE_USE, SPEC, GatewayProfile
from pytest_l402.stack.gateway.services import RateLimit, Service
from pytest_l402.stack.shop import DEFAULT_SERVICES
from pytest_l402.stack.stack import Served, Stack

if TYPE_CHECKING:
    from pytest_l402.harness.loopback import LoopbackServer
    from pytest_l402.harness.respx_bridge import respx_router

# Who reaches the stack in process, by its own client, needs neither a server nor a patched httpx.
_ON_DEMAND = {
    "LoopbackServer": "pytest_l402.harness.loopback",
    "respx_router": "pytest_l402.harness.respx_bridge",
}

__all__ = [
    "APERTURE",
    "DEFAULT_SERVICES",
    "PROFILES",
    "SINGLE_USE",
    "SPEC",
    "ActiveLookupFailure",
    "AmountOverCap",
    "Answer",
    "Attributed",
    "AttributedExecutor",
    "Buyer",
    "BuyerPolicy",
    "CacheStatus",
    "ChallengeFailure",
    "ControlPlane",
    "DeployFailure",
    "DeployedChallengeWrong",
    "DeployedUnhealthy",
    "DeployedUpstreamUnreachable",
    "Executor",
    "ExecutorStops",
    "Fault",
    "Faults",
    "FlowPurchase",
    "Forger",
    "FullFlowRun",
    "Gateway",
    "GatewayDown",
    "GatewayProbes",
    "GatewayProfile",
    "Harness",
    "HeartbeatStopped",
    "InvalidPreimage",
    "InvalidTransition",
    "InvoiceNotPayable",
    "Journal",
    "LightningNode",
    "LoopbackServer",
    "Network",
    "NetworkUnreachable",
    "NodeDegraded",
    "Payment",
    "PaymentAlreadyMade",
    "PaymentError",
    "PaymentFailed",
    "PaymentFailure",
    "PaymentPending",
    "PaymentPendingError",
    "PaymentSlow",
    "Paywall",
    "PaywallNotCompilable",
    "PreimageMissing",
    "PreimageNotReturned",
    "Presented",
    "ProbeReport",
    "Projection",
    "ProjectionProofMismatch",
    "ProjectionStale",
    "Purchase",
    "PurchaseStatus",
    "RateLimit",
    "Request",
    "Response",
    "RollbackFailure",
    "SeededRandomness",
    "Served",
    "Service",
    "SettlementConflict",
    "SettlementDelayed",
    "SettlementEvent",
    "SettlementLost",
    "SettlementProofMismatch",
    "SettlementRefused",
    "SettlementStore",
    "Stack",
    "StackClock",
    "SystemClock",
    "SystemRandomness",
    "Task",
    "UnknownTask",
    "UpstreamDown",
    "UpstreamFailure",
    "Wallet",
    "WalletIsLocked",
    "WalletLocked",
    "respx_router",
    "run_full_flow",
]


def __getattr__(name: str) -> Any:
    if name in _ON_DEMAND:
        return getattr(import_module(_ON_DEMAND[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
