"""Decides how the deployed control plane is asked and changed, in the two forms in which it is deployed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.live.environment import ControlPlaneAccess, ControlPlaneForm
from pytest_l402.live.json_api import JsonApi
from pytest_l402.live.live_error import LiveError
from pytest_l402.live.permission import Permission, Queries
from pytest_l402.live.reported import wrong_schema
from pytest_l402.ops.compile.decode_paywalls import PaywallDecodeError, decode_paywalls
from pytest_l402.ops.compile.paywall import PaywallDefinition

NAME: Final = "control plane"
LIST_PAYWALLS: Final = "lightning/ops:listPaywallControlPlaneState"
SECURITY_STATE: Final = "lightning/security:getControlPlaneSecurityState"
QUERIES: Final = frozenset({LIST_PAYWALLS, SECURITY_STATE})


class LiveControlPlane:
    """The deployed control plane. Its secret goes into each body; bodies and answers are never shown.

    It is a `PaywallSource`; `url` is its base, and `where` how messages name it. What changes it needs the
    permission of the run and raises `ChangeRefused` without.
    """

    def __init__(self, access: ControlPlaneAccess, api: JsonApi, permission: Permission) -> None:
        self._access = access
        self._api = api
        self._permission = permission
        self.url = access.url
        self.where = api.where(access.url)
        permission.know(Queries(self._url("query"), QUERIES))

    def paywalls(self, *, request_id: str = "") -> Sequence[PaywallDefinition]:
        """Return the active and the paused paywalls, strictly decoded. Raises `LiveError`."""
        arguments = {"statuses": ["active", "paused"]}
        answer = self._call("query", LIST_PAYWALLS, arguments, request_id)
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

    def query(self, function: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Ask a function that changes nothing. Raises `LiveError`."""
        return self._call("query", function, arguments)

    def mutation(self, function: str, arguments: Mapping[str, Any], request_id: str = "") -> dict[str, Any]:
        """Call a function that changes something, once. Raises `ChangeRefused`, `LiveError`."""
        self._permission.require(self.where, function)
        return self._call("mutation", function, arguments, request_id)

    def _url(self, kind: str) -> str:
        if self._access.form is ControlPlaneForm.CONVEX:
            return f"{self.url}/api/{kind}"
        return f"{self.url}/api/internal/lightning-ops/control-plane/{kind}"

    def _call(
        self, kind: str, function: str, arguments: Mapping[str, Any], request_id: str = ""
    ) -> dict[str, Any]:
        with_secret = {**arguments, "secret": self._access.secret}
        body: dict[str, Any] = {"functionName": function, "args": with_secret}
        if self._access.form is ControlPlaneForm.CONVEX:
            body = {"path": function, "format": "convex_encoded_json", "args": [with_secret]}
        send = self._api.read if kind == "query" else self._api.change
        headers = {REQUEST_ID_HEADER: request_id} if request_id else {}
        return self._unwrapped(function, send("POST", self._url(kind), json=body, headers=headers))

    def _unwrapped(self, function: str, answer: Any) -> dict[str, Any]:
        if isinstance(answer, dict) and self._access.form is ControlPlaneForm.CONVEX:
            if answer.get("status") == "error":
                raise self._refused(function, answer.get("errorMessage"))
            answer = answer.get("value") if answer.get("status") == "success" else None
        if not isinstance(answer, dict):
            raise wrong_schema(self.where, f"an object from {function}", answer)
        # An answer of 200 that carries an error is one all the same.
        if answer.get("error") or answer.get("ok") is False:
            raise self._refused(function, answer.get("error"))
        return answer

    def _refused(self, function: str, error: object) -> LiveError:
        return LiveError(
            self.where,
            code="refused",
            expected=f"that {function} succeeds",
            seen=self._api.shown_code(error) or "an error without a code",
            remedy="see the control plane's own log; check OA_LIGHTNING_OPS_SECRET",
        )
