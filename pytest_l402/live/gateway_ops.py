"""Decides how the operations API of a deployed gateway is spoken: what runs, deploy, roll back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.live.environment import GatewayAccess
from pytest_l402.live.json_api import JsonApi
from pytest_l402.live.live_error import ChangeRefused, LiveError
from pytest_l402.live.permission import Permission
from pytest_l402.ops.compile.aperture_writer import render_aperture_yaml
from pytest_l402.ops.compile.hashes import config_hash as hash_of
from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOpsError

NAME: Final = "gateway"
NOTHING_YAML: Final = render_aperture_yaml([])
"""A configuration that sells nothing: what a deployment that had none before it is replaced with."""
NOTHING_HASH: Final = hash_of(NOTHING_YAML.encode())


class LiveGatewayOps:
    """The operations of a deployed gateway (`stack.ops.reconcile_ports.GatewayOps`).

    Reading what runs is always allowed; whatever else needs the permission of the run. The API has no way to
    take a first deployment away, so `withdraw` deploys a configuration without services, and a gateway that
    runs this one runs nothing. An undo whose answer is lost counts as done if the gateway says so afterwards.
    `url` is its base, and `where` how messages name it.
    """

    def __init__(self, access: GatewayAccess, api: JsonApi, permission: Permission) -> None:
        self._access = access
        self._api = api
        self._permission = permission
        self.url = access.base_url
        self.where = api.where(access.base_url)

    def active(self, *, request_id: str) -> ActiveDeployment | None:
        """Return what the gateway runs, None when it was told to run nothing. Raises `GatewayOpsError`."""
        url = f"{self.url}/ops/deployment"
        try:
            answer = self._api.read("GET", url, headers=self._headers(request_id))
        except LiveError as error:
            raise GatewayOpsError(error.code) from error
        if not isinstance(answer, dict) or "deployment" not in answer:
            raise GatewayOpsError("wrong_schema")
        found = None if answer["deployment"] is None else _deployment(answer["deployment"])
        return None if found is not None and found.config_hash == NOTHING_HASH else found

    def apply(
        self,
        *,
        request_id: str,
        deployment_id: str,
        config_hash: str,
        aperture_yaml: str,
        image_digest: str | None,
    ) -> ActiveDeployment:
        """Deploy a configuration, and return what runs then. Raises `GatewayOpsError`, `ChangeRefused`."""
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
        """Run `target` again, and return what runs then. Raises `GatewayOpsError`, `ChangeRefused`."""
        body = {
            "requestId": request_id,
            "deploymentId": deployment_id,
            "targetConfigHash": target.config_hash,
            "imageDigest": target.image_digest,
        }
        try:
            return self._changed("/ops/rollback", body)
        except GatewayOpsError:
            active = self.active(request_id=request_id)
            if active is None or active.config_hash != target.config_hash:
                raise
            return active

    def withdraw(self, *, request_id: str, deployment_id: str) -> None:
        """Sell nothing any more. Raises `GatewayOpsError`, `ChangeRefused`."""
        if self.active(request_id=request_id) is None:
            return
        try:
            self.apply(
                request_id=request_id,
                deployment_id=deployment_id,
                config_hash=NOTHING_HASH,
                aperture_yaml=NOTHING_YAML,
                image_digest=None,
            )
        except GatewayOpsError:
            if self.active(request_id=request_id) is not None:
                raise

    def _changed(self, path: str, body: Mapping[str, Any]) -> ActiveDeployment:
        url = f"{self.url}{path}"
        self._permission.require(self._api.where(url), f"POST {path}")
        try:
            answer = self._api.change("POST", url, json=body, headers=self._headers(str(body["requestId"])))
        except ChangeRefused:
            raise
        except LiveError as error:
            raise GatewayOpsError(error.code) from error
        return _deployment(answer.get("deployment", answer) if isinstance(answer, dict) else answer)

    def _headers(self, request_id: str) -> dict[str, str]:
        token = self._access.ops_token
        headers = {REQUEST_ID_HEADER: request_id}
        return headers if token is None else {**headers, "Authorization": f"Bearer {token}"}


def _deployment(value: object) -> ActiveDeployment:
    if not isinstance(value, dict):
        raise GatewayOpsError("wrong_schema")
    try:
        return ActiveDeployment.decode({"imageDigest": None, **value})
    except ValueError:
        raise GatewayOpsError("wrong_schema") from None
