"""How a deployed platform answers for itself as a system: by its hosts and by what runs there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_l402.contract.tables import ROW_FORMS
from pytest_l402.evidence import Check, Part, record_checks
from pytest_l402.ops.reconcile.ports import GatewayOpsError, reason_of
from pytest_l402.ops.reconcile.row_forms import RECONCILE_FORMS

if TYPE_CHECKING:
    from pytest_l402.evidence import Row
    from pytest_l402.evidence.fields import Form
    from pytest_l402.evidence.system import When
    from pytest_l402.live.system import LiveSystem
    from pytest_l402.ops.reconcile.ports import ActiveDeployment

_REQUEST_ID = "rehearsal:identify"


class DeployedSystem:
    """A deployed platform: named by its hosts, its version the configHash, pinned by the gateway's image.

    What the gateway runs is asked when the system is attached, and again after a reconcile.
    """

    def __init__(self, live: LiveSystem) -> None:
        self._live = live
        self._asked: tuple[int, ActiveDeployment | str] | None = None

    @property
    def name(self) -> str:
        """The host of the gateway, under which buyers know the platform."""
        return f"L402 platform at {_host(self._live.gateway.url)}"

    @property
    def version(self) -> str:
        """The configHash of what the gateway runs, or why there is none to tell."""
        active = self._active()
        return f"unknown: {active}" if isinstance(active, str) else f"configHash {active.config_hash}"

    @property
    def digest(self) -> str | None:
        """The digest of the image that the gateway runs, None if it does not say."""
        active = self._active()
        return None if isinstance(active, str) else active.image_digest

    def parts(self) -> tuple[Part, ...]:
        """Return the hosts."""
        return (
            Part("gateway", _host(self._live.gateway.url)),
            Part("control plane", _host(self._live.control_plane.url)),
        )

    def tables(self) -> Mapping[str, Sequence[Row]]:
        """Return what was seen, deployed and written down so far."""
        return self._live.tables()

    def fields(self) -> Mapping[str, Form]:
        """Return what the rows of its tables are: those of the contract, and those of a reconcile."""
        return {**ROW_FORMS, **RECONCILE_FORMS}

    def steady_state(self, when: When) -> tuple[Row, ...]:
        """Return nothing: what the platform does for others is not for a rehearsal to probe."""
        return ()

    def standing_checks(self) -> tuple[Check, ...]:
        """Return what holds of all records: each is complete, and all planes tell each payment alike."""
        return record_checks()

    def _active(self) -> ActiveDeployment | str:
        reconciled = len(self._live.reconciled)
        if self._asked is None or self._asked[0] != reconciled:
            try:
                active = self._live.gateway.active(request_id=_REQUEST_ID) or "nothing is deployed"
            except GatewayOpsError as error:
                active = reason_of(error)
            self._asked = reconciled, active
        return self._asked[1]


def _host(url: str) -> str:
    return urlsplit(url).netloc
