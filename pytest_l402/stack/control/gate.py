"""Whether a request may go on: the global pause first, then the owner's kill switch."""

from __future__ import annotations

from pytest_l402.harness.harness import Harness
from pytest_l402.ops.security.controls import (
    GLOBAL_PAUSE_ACTIVE,
    OWNER_KILL_SWITCH_ACTIVE,
    GateDecision,
    SecurityState,
)

DEFAULT_PAUSE_REASON = "Global paywall pause is active"
DEFAULT_KILL_REASON = "Owner kill switch is active"


class SecurityGate:
    """The switches of the control plane; every change of one leaves a row in the table `controls`."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._pause_reason: str | None = None
        self._kill_reasons: dict[str, str] = {}

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        """Pause every paywall, or resume; a reason is kept only while the pause is on."""
        self._pause_reason = (reason or DEFAULT_PAUSE_REASON) if active else None
        self._note_switch("global_pause", None, active)

    def global_pause(self) -> bool:
        """Return whether the global pause is on."""
        return self._pause_reason is not None

    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        """Stop everything of one owner, or let it go on; a reason is kept only while the switch is on."""
        if active:
            self._kill_reasons[owner_id] = reason or DEFAULT_KILL_REASON
        else:
            self._kill_reasons.pop(owner_id, None)
        self._note_switch("owner_kill_switch", owner_id, active)

    def _decide(self, owner_id: str | None) -> GateDecision:
        """Return whether `owner_id` may go on. Source: runbook observability section 4."""
        if self._pause_reason is not None:
            return GateDecision(False, GLOBAL_PAUSE_ACTIVE, self._pause_reason)
        reason = self._kill_reasons.get(owner_id) if owner_id is not None else None
        if reason is not None:
            return GateDecision(False, OWNER_KILL_SWITCH_ACTIVE, reason)
        return GateDecision(True)

    def security_state(self) -> SecurityState:
        """Return the switches as they stand."""
        return SecurityState(
            self._pause_reason is not None, self._pause_reason, tuple(sorted(self._kill_reasons))
        )

    def _note_switch(self, kind: str, owner_id: str | None, active: bool) -> None:
        self._harness.note("controls", {"kind": kind, "ownerId": owner_id, "active": active})
