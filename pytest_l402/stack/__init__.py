"""The system under rehearsal: stand-ins that speak HTTP and check real cryptography."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .attributed import Answer, Attributed, AttributedExecutor, Buyer
from .clock import StackClock, SystemClock
from .control_plane import ControlPlane
from .executor import Executor
from .executor_policy import BuyerPolicy
from .faults import (
    ActiveLookupFailure,
    ChallengeFailure,
    DeployedChallengeWrong,
    DeployedUnhealthy,
    DeployedUpstreamUnreachable,
    DeployFailure,
    ExecutorStops,
    Fault,
    Faults,
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
from .forger import Forger, Presented
from .full_flow import FlowPurchase, FullFlowRun, run_full_flow
from .gateway import Gateway
from .gateway_profile import APERTURE, PROFILES, SINGLE_USE, SPEC, GatewayProfile
from .journal import Journal
from .lightning_node import LightningNode
from .network import Network, NetworkUnreachable, Request, Response
from .paywalls import Paywall
from .probes import GatewayProbes, ProbeReport
from .projection import Projection
from .purchase import CacheStatus, Purchase, PurchaseStatus
from .randomness import SeededRandomness, SystemRandomness
from .services import RateLimit, Service
from .settlement_event import InvalidPreimage, SettlementConflict, SettlementEvent, SettlementRefused
from .settlement_store import SettlementStore
from .shop import DEFAULT_SERVICES
from .stack import Served, Stack
from .task_board import InvalidTransition, Task, UnknownTask
from .wallet import (
    AmountOverCap,
    InvoiceNotPayable,
    Payment,
    PaymentAlreadyMade,
    PaymentError,
    PaymentFailed,
    PaymentPendingError,
    PreimageNotReturned,
    Wallet,
    WalletIsLocked,
)

if TYPE_CHECKING:
    from .loopback import LoopbackServer
    from .respx_bridge import respx_router

# Who reaches the stack in process, by its own client, needs neither a server nor a patched httpx.
_ON_DEMAND = {"LoopbackServer": ".loopback", "respx_router": ".respx_bridge"}

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
        return getattr(import_module(_ON_DEMAND[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
