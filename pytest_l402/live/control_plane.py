"""Decides how the deployed control plane is asked and changed, in the two forms in which it is deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_l402.contract import quoted
from pytest_l402.stack.ops.decode_paywalls import PaywallDecodeError, decode_paywalls
from pytest_l402.stack.ops.paywall import Paywall
from pytest_l402.stack.security_gate import SecurityState

from .changes import Changes
from .environment import ControlPlaneAccess, ControlPlaneForm
from .json_api import JsonApi
from .live_error import LiveError

NAME: Final = "control plane"
_LIST_PAYWALLS: Final = "lightning/ops:listPaywallControlPlaneState"
_SECURITY_STATE: Final = "lightning/security:getControlPlaneSecurityState"


class LiveControlPlane:
    """The deployed control plane. Its secret goes into each body; bodies and answers are never shown.

    What changes it needs the permission of `changes` and raises `ChangeRefused` without it.
    """

    def __init__(self, access: ControlPlaneAccess, api: JsonApi, changes: Changes) -> None:
        self._access = access
        self._api = api
        self._changes = changes

    @property
    def changes(self) -> Changes:
        """The permission to change it."""
        return self._changes

    @property
    def where(self) -> str:
        """How messages name it."""
        return self._api.where(self._access.url)

    def paywalls(self, *, request_id: str = "") -> Sequence[Paywall]:
        """Return the active and the paused paywalls, strictly decoded. Raises `LiveError`."""
        answer = self.query(_LIST_PAYWALLS, {"statuses": ["active", "paused"]})
        try:
            return decode_paywalls(answer)
        except PaywallDecodeError as error:
            raise LiveError(
                self.where,
                code="invalid_paywalls",
                expected="paywalls as its contract has them",
                seen=str(error),
                remedy="correct the paywall, or check the control plane's version",
            ) from None

    def security_state(self) -> SecurityState:
        """Return the global pause and the owners whose kill switch is on. Raises `LiveError`."""
        answer = self.query(_SECURITY_STATE, {})
        found = answer.get("global")
        switch: Mapping[str, Any] = found if isinstance(found, dict) else {}
        pause = _either(switch, "globalPause", "global_pause")
        owners = _either(answer, "ownerControls", "owner_controls")
        if not isinstance(pause, bool) or not isinstance(owners, list):
            raise self._misshapen("global.globalPause and ownerControls", answer)
        killed = []
        for owner in owners:
            is_killed = _either(owner, "killSwitch", "kill_switch") if isinstance(owner, dict) else None
            owner_id = _either(owner, "ownerId", "owner_id") if isinstance(owner, dict) else None
            if not isinstance(is_killed, bool) or not isinstance(owner_id, str):
                raise self._misshapen("ownerId and killSwitch of each owner", owner)
            if is_killed:
                killed.append(owner_id)
        reason = _either(switch, "denyReason", "deny_reason")
        return SecurityState(
            pause, reason if isinstance(reason, str) and pause else None, tuple(sorted(killed))
        )

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        """Pause every paywall of the deployed platform, or resume. Raises `LiveError`."""
        args: dict[str, Any] = {"active": active, "updatedBy": "pytest-l402"}
        self.mutation("lightning/security:setGlobalPause", {**args, **({"reason": reason} if reason else {})})

    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        """Stop everything of one owner of the deployed platform, or let it go on. Raises `LiveError`."""
        args: dict[str, Any] = {"ownerId": owner_id, "active": active, "updatedBy": "pytest-l402"}
        self.mutation(
            "lightning/security:setOwnerKillSwitch", {**args, **({"reason": reason} if reason else {})}
        )

    def record_compile_intent(self, deployment: Mapping[str, Any]) -> None:
        """Write a deployment row (`l402GatewayDeployments`). Raises `LiveError`."""
        self.mutation("lightning/ops:recordGatewayCompileIntent", deployment)

    def record_deployment_event(self, event: Mapping[str, Any]) -> None:
        """Write an event row (`l402GatewayEvents`). Raises `LiveError`."""
        self.mutation("lightning/ops:recordGatewayDeploymentEvent", event)

    def query(self, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a function that changes nothing. Raises `LiveError`."""
        url, body = self._request("query", function, arguments)
        return self._unwrapped(function, self._api.read("POST", url, json=body))

    def mutation(self, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Call a function that changes something, once. Raises `ChangeRefused`, `LiveError`."""
        self._changes.require(self.where, function)
        url, body = self._request("mutation", function, arguments)
        return self._unwrapped(function, self._api.change("POST", url, json=body))

    def _request(self, kind: str, function: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        with_secret = {**arguments, "secret": self._access.secret}
        if self._access.form is ControlPlaneForm.CONVEX:
            body = {"path": function, "format": "convex_encoded_json", "args": [with_secret]}
            return f"{self._access.url}/api/{kind}", body
        url = f"{self._access.url}/api/internal/lightning-ops/control-plane/{kind}"
        return url, {"functionName": function, "args": with_secret}

    def _unwrapped(self, function: str, answer: Any) -> dict[str, Any]:
        if isinstance(answer, dict) and self._access.form is ControlPlaneForm.CONVEX:
            if answer.get("status") == "error":
                raise self._refused(function, answer.get("errorMessage"))
            answer = answer.get("value") if answer.get("status") == "success" else None
        if not isinstance(answer, dict):
            raise self._misshapen(f"an object from {function}", answer)
        # An answer of 200 that carries an error is one all the same.
        if answer.get("error") or answer.get("ok") is False:
            raise self._refused(function, answer.get("error"))
        return answer

    def _refused(self, function: str, error: object) -> LiveError:
        code = error.get("code") if isinstance(error, dict) else error
        shown = (
            code if isinstance(code, str) and code.replace("_", "").isalnum() else "an error without a code"
        )
        return LiveError(
            self.where,
            code="refused",
            expected=f"that {function} succeeds",
            seen=shown[:60],
            remedy="see the control plane's own log; check OA_LIGHTNING_OPS_SECRET",
        )

    def _misshapen(self, expected: str, seen: object) -> LiveError:
        keys = ", ".join(sorted(map(str, seen))[:8]) if isinstance(seen, dict) else type(seen).__name__
        return LiveError(
            self.where,
            code="wrong_schema",
            expected=expected,
            seen=f"{'keys ' if isinstance(seen, dict) else ''}{quoted(keys, 120)}",
            remedy="check the URL and the control plane's version",
        )


def _either(document: Mapping[str, Any], camel: str, snake: str) -> Any:
    return document[camel] if camel in document else document.get(snake)
