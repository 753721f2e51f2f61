"""The same system when it is deployed: adapters over httpx, read-only unless changes are allowed."""

from pytest_l402.harness.interruption import Interrupted
from pytest_l402.live.bounded_transport import Bounds, bounded_client
from pytest_l402.live.change_notes import Change, ChangeKind
from pytest_l402.live.control_plane import LiveControlPlane
from pytest_l402.live.environment import (
    ControlPlaneForm,
    EnvironmentVariableError,
    control_plane_access,
    gateway_access,
)
from pytest_l402.live.json_api import JsonApi
from pytest_l402.live.live_error import ChangeNotAnnounced, ChangeRefused, LiveError
from pytest_l402.live.permission import Permission, Queries
from pytest_l402.live.probes import live_targets
from pytest_l402.live.system import STATE_FOLDER, LiveSystem, open_live_system

__all__ = [
    "STATE_FOLDER",
    "Bounds",
    "Change",
    "ChangeKind",
    "ChangeNotAnnounced",
    "ChangeRefused",
    "ControlPlaneForm",
    "EnvironmentVariableError",
    "Interrupted",
    "JsonApi",
    "LiveControlPlane",
    "LiveError",
    "LiveSystem",
    "Permission",
    "Queries",
    "bounded_client",
    "control_plane_access",
    "gateway_access",
    "live_targets",
    "open_live_system",
]
