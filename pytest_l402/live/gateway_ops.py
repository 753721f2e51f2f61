"""Decides how the operations API of a deployed gateway is spoken: what runs, deploy, roll back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_l402.stack.ops.reconcile_ports import ActiveDeployment, GatewayOpsError

from .changes import Changes
from .environment import GatewayAccess
from .json_api import JsonApi
from .live_error import ChangeRefused, LiveError

NAME: Final = "gateway"
NO_WITHDRAW: Final = "withdraw_not_offered_by_gateway"


class LiveGatewayOps:
    """The operations of a deployed gateway (`stack.ops.reconcile_ports.GatewayOps`).

    Reading what runs is always allowed; deploy and rollback need the permission of `changes`. The API has no
    way to withdraw a first deployment, so `withdraw` says that it has to be done by hand.
    """

    def __init__(self, access: GatewayAccess, api: JsonApi, changes: Changes) -> None:
        self._base_url = access.base_url
        self._token = access.ops_token
        self._api = api
        self._changes = changes

    def active(self, *, request_id: str) -> ActiveDeployment | None:
        """Return what the gateway runs, None when nothing was deployed. Raises `GatewayOpsError`."""
        url = f"{self._base_url}/ops/deployment"
        try:
            answer = self._api.read("GET", url, headers=self._headers(request_id))
        except LiveError as error:
            raise GatewayOpsError(error.code) from error
        if not isinstance(answer, dict) or "deployment" not in answer:
            raise GatewayOpsError("wrong_schema")
        return None if answer["deployment"] is None else _deployment(answer["deployment"])

    def apply(
        self,
        *,
        request_id: str,
        deployment_id: str,
        config_hash: str,
        aperture_yaml: str,
        image_digest: str | None,
    ) -> ActiveDeployment:
        """Deploy a configuration, and return what runs then. Raises `GatewayOpsError`."""
        body: dict[str, Any] = {
            "requestId": request_id,
            "deploymentId": deployment_id,
            "configHash": config_hash,
            "apertureYaml": aperture_yaml,
        }
        if image_digest is not None:
            body["imageDigest"] = image_digest
        return self._changed("/ops/deploy", body)

    def rollback(
        self, *, request_id: str, deployment_id: str, target: ActiveDeployment
    ) -> ActiveDeployment | None:
        """Run `target` again, and return what runs then. Raises `GatewayOpsError`."""
        return self._changed(
            "/ops/rollback",
            {
                "requestId": request_id,
                "deploymentId": deployment_id,
                "targetConfigHash": target.config_hash,
                "imageDigest": target.image_digest,
            },
        )

    def withdraw(self, *, request_id: str, deployment_id: str) -> None:
        """Raise `GatewayOpsError`: the deployed API does not offer it."""
        raise GatewayOpsError(NO_WITHDRAW)

    def _changed(self, path: str, body: Mapping[str, Any]) -> ActiveDeployment:
        url = f"{self._base_url}{path}"
        try:
            self._changes.require(self._api.where(url), f"POST {path}")
            answer = self._api.change("POST", url, json=body, headers=self._headers(str(body["requestId"])))
        except ChangeRefused:
            raise
        except LiveError as error:
            raise GatewayOpsError(error.code) from error
        return _deployment(answer.get("deployment", answer) if isinstance(answer, dict) else answer)

    def _headers(self, request_id: str) -> dict[str, str]:
        headers = {"x-oa-request-id": request_id}
        return headers if self._token is None else {**headers, "Authorization": f"Bearer {self._token}"}


def _deployment(value: object) -> ActiveDeployment:
    if not isinstance(value, dict):
        raise GatewayOpsError("wrong_schema")
    try:
        return ActiveDeployment(
            deployment_id=value["deploymentId"],
            config_hash=value["configHash"],
            image_digest=value.get("imageDigest"),
        )
    except (KeyError, ValueError):
        raise GatewayOpsError("wrong_schema") from None
