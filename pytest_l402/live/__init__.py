"""The same system when it is deployed: adapters over httpx, read-only unless changes are allowed."""

from pytest_l402.harness.interruption import Interrupted, undoing_when_interrupted

from .bounded_transport import BoundedTransport, Bounds, ReplyTooLarge, ReplyTooSlow, bounded_client
from .change_notes import Change, ChangeKind, ChangeNotes
from .control_plane import LiveControlPlane
from .delivered_history import DeliveredHistory
from .environment import (
    ControlPlaneAccess,
    ControlPlaneForm,
    EnvironmentVariableError,
    GatewayAccess,
    control_plane_access,
    gateway_access,
)
from .gateway_ops import LiveGatewayOps
from .json_api import JsonApi
from .live_error import ChangeNotAnnounced, ChangeRefused, LiveError
from .permission import Permission, Queries
from .probes import LiveProbes, live_targets
from .security import LiveCredentialRoles, LiveSecurityControls
from .settlements import LiveSettlements
from .system import STATE_FOLDER, LiveSystem, open_live_system

__all__ = [
    "STATE_FOLDER",
    "BoundedTransport",
    "Bounds",
    "Change",
    "ChangeKind",
    "ChangeNotAnnounced",
    "ChangeNotes",
    "ChangeRefused",
    "ControlPlaneAccess",
    "ControlPlaneForm",
    "DeliveredHistory",
    "EnvironmentVariableError",
    "GatewayAccess",
    "Interrupted",
    "JsonApi",
    "LiveControlPlane",
    "LiveCredentialRoles",
    "LiveError",
    "LiveGatewayOps",
    "LiveProbes",
    "LiveSecurityControls",
    "LiveSettlements",
    "LiveSystem",
    "Permission",
    "Queries",
    "ReplyTooLarge",
    "ReplyTooSlow",
    "bounded_client",
    "control_plane_access",
    "gateway_access",
    "live_targets",
    "open_live_system",
    "undoing_when_interrupted",
]
