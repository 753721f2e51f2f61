"""The payment platform in stand-ins that speak HTTP and check real cryptography.

What is asked for here is imported when it is asked for: a gateway of its own needs neither buyer nor books.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pytest_l402.contract.payment import PaymentError as PaymentError
    from pytest_l402.contract.settlement_event import InvalidPreimage as InvalidPreimage
    from pytest_l402.contract.settlement_event import SettlementConflict as SettlementConflict
    from pytest_l402.contract.settlement_event import SettlementEvent as SettlementEvent
    from pytest_l402.contract.settlement_event import SettlementRefused as SettlementRefused
    from pytest_l402.harness.clock import StackClock as StackClock
    from pytest_l402.harness.clock import SystemClock as SystemClock
    from pytest_l402.harness.faults import Fault as Fault
    from pytest_l402.harness.faults import Faults as Faults
    from pytest_l402.harness.harness import Harness as Harness
    from pytest_l402.harness.journal import Journal as Journal
    from pytest_l402.harness.loopback import LoopbackServer as LoopbackServer
    from pytest_l402.harness.network import Network as Network
    from pytest_l402.harness.network import NetworkUnreachable as NetworkUnreachable
    from pytest_l402.harness.network import Request as Request
    from pytest_l402.harness.network import Response as Response
    from pytest_l402.harness.randomness import SeededRandomness as SeededRandomness
    from pytest_l402.harness.randomness import SystemRandomness as SystemRandomness
    from pytest_l402.harness.respx_bridge import respx_router as respx_router
    from pytest_l402.ops.full_flow.flow import FlowPurchase as FlowPurchase
    from pytest_l402.ops.reconcile.gateway_probes import GatewayProbes as GatewayProbes
    from pytest_l402.ops.reconcile.gateway_probes import ProbeReport as ProbeReport
    from pytest_l402.stack.books.projection import Projection as Projection
    from pytest_l402.stack.books.store import SettlementStore as SettlementStore
    from pytest_l402.stack.buyer.attributed import Answer as Answer
    from pytest_l402.stack.buyer.attributed import AttributedExecutor as AttributedExecutor
    from pytest_l402.stack.buyer.attributed import Buyer as Buyer
    from pytest_l402.stack.buyer.error_codes import UnknownErrorCodeError as UnknownErrorCodeError
    from pytest_l402.stack.buyer.executor import Executor as Executor
    from pytest_l402.stack.buyer.forger import Forger as Forger
    from pytest_l402.stack.buyer.forger import Presented as Presented
    from pytest_l402.stack.buyer.policy import BuyerPolicy as BuyerPolicy
    from pytest_l402.stack.buyer.purchase import CacheStatus as CacheStatus
    from pytest_l402.stack.buyer.purchase import Purchase as Purchase
    from pytest_l402.stack.buyer.purchase import PurchaseStatus as PurchaseStatus
    from pytest_l402.stack.buyer.wallet import AmountOverCap as AmountOverCap
    from pytest_l402.stack.buyer.wallet import InvoiceNotPayable as InvoiceNotPayable
    from pytest_l402.stack.buyer.wallet import Payment as Payment
    from pytest_l402.stack.buyer.wallet import PaymentAlreadyMade as PaymentAlreadyMade
    from pytest_l402.stack.buyer.wallet import PaymentFailed as PaymentFailed
    from pytest_l402.stack.buyer.wallet import PaymentOutcomeUnknown as PaymentOutcomeUnknown
    from pytest_l402.stack.buyer.wallet import PaymentPendingError as PaymentPendingError
    from pytest_l402.stack.buyer.wallet import PreimageNotReturned as PreimageNotReturned
    from pytest_l402.stack.buyer.wallet import Wallet as Wallet
    from pytest_l402.stack.buyer.wallet import WalletIsLocked as WalletIsLocked
    from pytest_l402.stack.control.control_plane import ControlPlane as ControlPlane
    from pytest_l402.stack.control.paywalls import Paywall as Paywall
    from pytest_l402.stack.control.task_board import InvalidTransition as InvalidTransition
    from pytest_l402.stack.control.task_board import Task as Task
    from pytest_l402.stack.control.task_board import UnknownTask as UnknownTask
    from pytest_l402.stack.faults import ActiveLookupFailure as ActiveLookupFailure
    from pytest_l402.stack.faults import AnswerLost as AnswerLost
    from pytest_l402.stack.faults import AnswerSlow as AnswerSlow
    from pytest_l402.stack.faults import ChallengeAltered as ChallengeAltered
    from pytest_l402.stack.faults import ChallengeFailure as ChallengeFailure
    from pytest_l402.stack.faults import ChallengeKept as ChallengeKept
    from pytest_l402.stack.faults import CredentialRefused as CredentialRefused
    from pytest_l402.stack.faults import DeployedChallengeWrong as DeployedChallengeWrong
    from pytest_l402.stack.faults import DeployedUnhealthy as DeployedUnhealthy
    from pytest_l402.stack.faults import DeployedUpstreamUnreachable as DeployedUpstreamUnreachable
    from pytest_l402.stack.faults import DeployFailure as DeployFailure
    from pytest_l402.stack.faults import ExecutorStops as ExecutorStops
    from pytest_l402.stack.faults import GatewayDown as GatewayDown
    from pytest_l402.stack.faults import HeartbeatStopped as HeartbeatStopped
    from pytest_l402.stack.faults import NodeDegraded as NodeDegraded
    from pytest_l402.stack.faults import PaymentFailure as PaymentFailure
    from pytest_l402.stack.faults import PaymentLate as PaymentLate
    from pytest_l402.stack.faults import PaymentPending as PaymentPending
    from pytest_l402.stack.faults import PaymentSlow as PaymentSlow
    from pytest_l402.stack.faults import PaywallNotCompilable as PaywallNotCompilable
    from pytest_l402.stack.faults import PreimageLate as PreimageLate
    from pytest_l402.stack.faults import PreimageMissing as PreimageMissing
    from pytest_l402.stack.faults import ProjectionProofMismatch as ProjectionProofMismatch
    from pytest_l402.stack.faults import ProjectionStale as ProjectionStale
    from pytest_l402.stack.faults import RollbackFailure as RollbackFailure
    from pytest_l402.stack.faults import SettlementDelayed as SettlementDelayed
    from pytest_l402.stack.faults import SettlementLost as SettlementLost
    from pytest_l402.stack.faults import SettlementProofMismatch as SettlementProofMismatch
    from pytest_l402.stack.faults import UpstreamDown as UpstreamDown
    from pytest_l402.stack.faults import UpstreamFailure as UpstreamFailure
    from pytest_l402.stack.faults import WalletLocked as WalletLocked
    from pytest_l402.stack.full_flow.run import FullFlowRun as FullFlowRun
    from pytest_l402.stack.full_flow.run import run_full_flow as run_full_flow
    from pytest_l402.stack.gateway.gateway import Gateway as Gateway
    from pytest_l402.stack.gateway.lightning_node import LightningNode as LightningNode
    from pytest_l402.stack.gateway.profile import APERTURE as APERTURE
    from pytest_l402.stack.gateway.profile import PROFILES as PROFILES
    from pytest_l402.stack.gateway.profile import SINGLE_USE as SINGLE_USE
    from pytest_l402.stack.gateway.profile import SPEC as SPEC
    from pytest_l402.stack.gateway.profile import GatewayProfile as GatewayProfile
    from pytest_l402.stack.gateway.services import RateLimit as RateLimit
    from pytest_l402.stack.gateway.services import Service as Service
    from pytest_l402.stack.shop import DEFAULT_SERVICES as DEFAULT_SERVICES
    from pytest_l402.stack.stack import Served as Served
    from pytest_l402.stack.stack import Stack as Stack

_MODULES: Final = {
    "APERTURE": "stack.gateway.profile",
    "ActiveLookupFailure": "stack.faults",
    "AmountOverCap": "stack.buyer.wallet",
    "Answer": "stack.buyer.attributed",
    "AnswerLost": "stack.faults",
    "AnswerSlow": "stack.faults",
    "AttributedExecutor": "stack.buyer.attributed",
    "Buyer": "stack.buyer.attributed",
    "BuyerPolicy": "stack.buyer.policy",
    "CacheStatus": "stack.buyer.purchase",
    "ChallengeAltered": "stack.faults",
    "ChallengeFailure": "stack.faults",
    "ChallengeKept": "stack.faults",
    "ControlPlane": "stack.control.control_plane",
    "CredentialRefused": "stack.faults",
    "DEFAULT_SERVICES": "stack.shop",
    "DeployFailure": "stack.faults",
    "DeployedChallengeWrong": "stack.faults",
    "DeployedUnhealthy": "stack.faults",
    "DeployedUpstreamUnreachable": "stack.faults",
    "Executor": "stack.buyer.executor",
    "ExecutorStops": "stack.faults",
    "Fault": "harness.faults",
    "Faults": "harness.faults",
    "FlowPurchase": "ops.full_flow.flow",
    "Forger": "stack.buyer.forger",
    "FullFlowRun": "stack.full_flow.run",
    "Gateway": "stack.gateway.gateway",
    "GatewayDown": "stack.faults",
    "GatewayProbes": "ops.reconcile.gateway_probes",
    "GatewayProfile": "stack.gateway.profile",
    "Harness": "harness.harness",
    "HeartbeatStopped": "stack.faults",
    "InvalidPreimage": "contract.settlement_event",
    "InvalidTransition": "stack.control.task_board",
    "InvoiceNotPayable": "stack.buyer.wallet",
    "Journal": "harness.journal",
    "LightningNode": "stack.gateway.lightning_node",
    "LoopbackServer": "harness.loopback",
    "Network": "harness.network",
    "NetworkUnreachable": "harness.network",
    "NodeDegraded": "stack.faults",
    "PROFILES": "stack.gateway.profile",
    "Payment": "stack.buyer.wallet",
    "PaymentAlreadyMade": "stack.buyer.wallet",
    "PaymentError": "contract.payment",
    "PaymentFailed": "stack.buyer.wallet",
    "PaymentFailure": "stack.faults",
    "PaymentLate": "stack.faults",
    "PaymentOutcomeUnknown": "stack.buyer.wallet",
    "PaymentPending": "stack.faults",
    "PaymentPendingError": "stack.buyer.wallet",
    "PaymentSlow": "stack.faults",
    "Paywall": "stack.control.paywalls",
    "PaywallNotCompilable": "stack.faults",
    "PreimageLate": "stack.faults",
    "PreimageMissing": "stack.faults",
    "PreimageNotReturned": "stack.buyer.wallet",
    "Presented": "stack.buyer.forger",
    "ProbeReport": "ops.reconcile.gateway_probes",
    "Projection": "stack.books.projection",
    "ProjectionProofMismatch": "stack.faults",
    "ProjectionStale": "stack.faults",
    "Purchase": "stack.buyer.purchase",
    "PurchaseStatus": "stack.buyer.purchase",
    "RateLimit": "stack.gateway.services",
    "Request": "harness.network",
    "Response": "harness.network",
    "RollbackFailure": "stack.faults",
    "SINGLE_USE": "stack.gateway.profile",
    "SPEC": "stack.gateway.profile",
    "SeededRandomness": "harness.randomness",
    "Served": "stack.stack",
    "Service": "stack.gateway.services",
    "SettlementConflict": "contract.settlement_event",
    "SettlementDelayed": "stack.faults",
    "SettlementEvent": "contract.settlement_event",
    "SettlementLost": "stack.faults",
    "SettlementProofMismatch": "stack.faults",
    "SettlementRefused": "contract.settlement_event",
    "SettlementStore": "stack.books.store",
    "Stack": "stack.stack",
    "StackClock": "harness.clock",
    "SystemClock": "harness.clock",
    "SystemRandomness": "harness.randomness",
    "Task": "stack.control.task_board",
    "UnknownErrorCodeError": "stack.buyer.error_codes",
    "UnknownTask": "stack.control.task_board",
    "UpstreamDown": "stack.faults",
    "UpstreamFailure": "stack.faults",
    "Wallet": "stack.buyer.wallet",
    "WalletIsLocked": "stack.buyer.wallet",
    "WalletLocked": "stack.faults",
    "respx_router": "harness.respx_bridge",
    "run_full_flow": "stack.full_flow.run",
}


def __getattr__(name: str) -> Any:
    if name == "__all__":
        # Asked for by a star import only.
        return sorted(_MODULES)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(f"pytest_l402.{_MODULES[name]}"), name)
    return found
