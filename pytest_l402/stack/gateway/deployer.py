"""How the stack's own gateway is brought to a configuration, and back to the one before."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections.abc import Callable
from typing import Any

from pytest_l402.boundary import printable
from pytest_l402.harness.harness import Harness
from pytest_l402.ops.compile.aperture_writer import CLOSED_ADDRESS
from pytest_l402.ops.compile.hashes import config_hash as hash_of
from pytest_l402.ops.reconcile.deployments import is_pinned
from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOpsError
from pytest_l402.stack.faults import (
    ActiveLookupFailure,
    DeployedChallengeWrong,
    DeployedUnhealthy,
    DeployedUpstreamUnreachable,
    DeployFailure,
    RollbackFailure,
)
from pytest_l402.stack.gateway.aperture_reader import ApertureConfigError, load_services
from pytest_l402.stack.gateway.disk import GatewayDisk
from pytest_l402.stack.gateway.gateway import Gateway
from pytest_l402.stack.gateway.services import Service

STAND_IN_IMAGE = "sha256:" + hashlib.sha256(b"pytest-l402 gateway stand-in").hexdigest()
"""What the stack's gateway runs as, as long as nobody orders another image."""
UNPINNED_IMAGE = "gateway:latest"

_CONFIG_HASH = re.compile(r"cfg_[0-9a-f]{64}")


class GatewayDeployer:
    """The operations of the stack's gateway, `GatewayOps`: a file that is applied decides what is sold.

    What the gateway was started with is for sale until the first deployment, and again once that is
    withdrawn; its free services stay beside every deployment, as they are nobody's paywall. A gateway with
    files of an earlier process starts with what it ran then. Faults act on the request whose id they carry.
    """

    def __init__(
        self,
        harness: Harness,
        gateway: Gateway,
        *,
        owner_of: Callable[[str], str | None],
        disk: GatewayDisk | None = None,
    ) -> None:
        self._gateway = gateway
        self._owner_of = owner_of
        self._faults = harness.faults
        self._disk = disk if disk is not None else GatewayDisk()
        self._initial = gateway.services
        self._free = tuple(service for service in gateway.services if service.auth == "off")
        self._lock = threading.RLock()
        if self._disk.active is not None:
            self._load(self._read(self._disk.config(self._disk.active.config_hash)))

    def active(self, *, request_id: str) -> ActiveDeployment | None:
        """Return what runs, None when nothing was ever deployed.

        Raises:
            GatewayOpsError: the fault `ActiveLookupFailure` is active for the request.
        """
        if self._faults.active(ActiveLookupFailure, request_id):
            raise GatewayOpsError("status_503")
        return self._disk.active

    def apply(
        self,
        *,
        request_id: str,
        deployment_id: str,
        config_hash: str,
        aperture_yaml: str,
        image_digest: str | None,
    ) -> ActiveDeployment:
        """Sell what the file says under this image, None for the one that runs, and return what runs then.

        Raises:
            GatewayOpsError: the file is not that of the hash or cannot be loaded, the image is not pinned, or
                the fault `DeployFailure` is active for the request. Unless that is `too_late`, everything is
                as it was.
        """
        with self._lock:
            trouble = self._faults.active(DeployFailure, request_id)
            if trouble is not None and trouble.how == "refused":
                raise GatewayOpsError("status_500")
            if hash_of(aperture_yaml.encode()) != config_hash:
                raise GatewayOpsError("config_hash_mismatch")
            if image_digest is not None and not is_pinned(image_digest):
                raise GatewayOpsError("image_digest_not_pinned")
            services = self._read(aperture_yaml)
            running = self._disk.active
            digest = image_digest or (None if running is None else running.image_digest) or STAND_IN_IMAGE
            if trouble is not None and trouble.how == "image_not_pinned":
                digest = UNPINNED_IMAGE
            deployment = ActiveDeployment(
                deployment_id=deployment_id, config_hash=config_hash, image_digest=digest
            )
            self._disk.keep(config_hash, aperture_yaml)
            self._disk.activate(deployment)
            # A file without services takes a deployment away, and brings up nothing that could be ill.
            ill = bool(services) and self._faults.active(DeployedUnhealthy, request_id) is not None
            self._load(self._as_it_comes_up(services, request_id), health_status=503 if ill else 200)
            if trouble is not None and trouble.how == "too_late":
                raise GatewayOpsError("status_504")
            return deployment

    def rollback(
        self, *, request_id: str, deployment_id: str, target: ActiveDeployment
    ) -> ActiveDeployment | None:
        """Sell again what the target's file says, and return what runs then.

        Raises:
            GatewayOpsError: the gateway has no such file, or the fault `RollbackFailure` is active.
        """
        with self._lock:
            is_silent = self._is_rollback_silent(request_id)
            if not _CONFIG_HASH.fullmatch(target.config_hash):
                raise GatewayOpsError(f"unknown_config_{printable(target.config_hash)}")
            services = self._read(self._disk.config(target.config_hash))
            self._disk.activate(target)
            if not is_silent:
                self._load(services)
            return target

    def withdraw(self, *, request_id: str, deployment_id: str) -> None:
        """Take the deployment away: what the gateway was started with is for sale again, and nothing else.

        Raises:
            GatewayOpsError: the fault `RollbackFailure` is active for the request.
        """
        with self._lock:
            is_silent = self._is_rollback_silent(request_id)
            self._disk.activate(None)
            if not is_silent:
                self._gateway.load(self._initial)

    def _is_rollback_silent(self, request_id: str) -> bool:
        failure = self._faults.active(RollbackFailure, request_id)
        if failure is not None and not failure.silent:
            raise GatewayOpsError("status_500")
        return failure is not None

    def _read(self, aperture_yaml: str) -> tuple[Service, ...]:
        try:
            return load_services(aperture_yaml, self._owner_of)
        except ApertureConfigError as error:
            raise GatewayOpsError(str(error)) from error

    def _load(self, services: tuple[Service, ...], *, health_status: int = 200) -> None:
        self._gateway.load((*services, *self._free), health_status=health_status)

    def _as_it_comes_up(self, services: tuple[Service, ...], request_id: str) -> tuple[Service, ...]:
        """Return the services as the faults of the request let them come up."""
        changes: dict[str, Any] = {}
        if self._faults.active(DeployedUpstreamUnreachable, request_id):
            changes["address"] = CLOSED_ADDRESS
        wrong = self._faults.active(DeployedChallengeWrong, request_id)
        if wrong is not None and wrong.how == "open":
            changes["auth"] = "off"
        if wrong is not None and wrong.how == "closed":
            changes["authskipinvoicecreationpaths"] = ("^",)
        altered = (dataclasses.replace(service, **changes) for service in services) if changes else services
        if wrong is not None and wrong.how == "price":
            altered = (dataclasses.replace(item, price_msats=2 * item.price_msats) for item in altered)
        return tuple(altered)
