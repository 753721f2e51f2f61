"""The same system when it is deployed: adapters over httpx, read-only unless changes are allowed."""

from .bounded_transport import BoundedTransport, ReplyTooLarge, ReplyTooSlow, bounded_client
from .changes import Changes
from .control_plane import LiveControlPlane
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
from .live_error import ChangeRefused, LiveError
from .probes import LiveProbes, probed_host_and_path

__all__ = [
    "BoundedTransport",
    "ChangeRefused",
    "Changes",
    "ControlPlaneAccess",
    "ControlPlaneForm",
    "EnvironmentVariableError",
    "GatewayAccess",
    "JsonApi",
    "LiveControlPlane",
    "LiveError",
    "LiveGatewayOps",
    "LiveProbes",
    "ReplyTooLarge",
    "ReplyTooSlow",
    "bounded_client",
    "control_plane_access",
    "gateway_access",
    "probed_host_and_path",
]
