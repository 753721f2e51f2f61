"""How the stack's own gateway is brought to a configuration and back, and what outlives a kill."""

from __future__ import annotations

import dataclasses
import hashlib
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pytest_l402.boundary import printable, read_json
from pytest_l402.boundary.whole_files import write_document, write_text
from pytest_l402.harness.harness import Harness
from pytest_l402.ops.compile.aperture_writer import CLOSED_ADDRESS
from pytest_l402.ops.compile.hashes import config_hash as hash_of
from pytest_l402.ops.reconcile.deployments import is_pinned
from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOpsError
from pytest_l402.stack import faults
from pytest_l402.stack.gateway.aperture_reader import ApertureConfigError, load_services
from pytest_l402.stack.gateway.gateway import Gateway
from pytest_l402.stack.gateway.services import Service

STAND_IN_IMAGE = "sha256:" + hashlib.sha256(b"pytest-l402 gateway stand-in").hexdigest()
"""What the stack's own gateway runs as."""
UNPINNED_IMAGE = "gateway:latest"

NOTHING_STARTS = ("file_unreadable", "port_taken")
"""How `DeployFailure` lets nothing come up."""

ACTIVE_NAME = "active.json"
_CONFIG_HASH = re.compile(r"cfg_[0-9a-f]{64}")


class GatewayDisk:
    """The files of one gateway: `<configHash>.yaml` each, and `active.json`; in memory without a folder.

    Each file is replaced whole or not at all, so that a gateway that was killed starts with the one or the
    other deployment, and never with half of one. `active` is what runs, None when nothing was deployed.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._configs: dict[str, str] = {}
        self.active: ActiveDeployment | None = None
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            if (folder / ACTIVE_NAME).exists():
                found: Any = read_json(folder / ACTIVE_NAME)["deployment"]
                self.active = None if found is None else ActiveDeployment.decode(found)

    def config(self, config_hash: str) -> str:
        """Return the file of this hash.

        Raises:
            GatewayOpsError: there is none.
        """
        text = self._configs.get(config_hash)
        if text is None and self._folder is not None:
            path = self._folder / f"{config_hash}.yaml"
            text = path.read_bytes().decode() if path.is_file() else None
        if text is None:
            raise GatewayOpsError(f"unknown_config_{config_hash}")
        return text

    def keep(self, config_hash: str, text: str) -> None:
        """Keep a file under its hash."""
        self._configs[config_hash] = text
        if self._folder is not None:
            write_text(self._folder / f"{config_hash}.yaml", text)

    def activate(self, deployment: ActiveDeployment | None) -> None:
        """Note what runs from now on."""
        if self._folder is not None:
            row = None if deployment is None else deployment.to_row()
            write_document(self._folder / ACTIVE_NAME, {"deployment": row})
        self.active = deployment


@dataclasses.dataclass(eq=False, repr=False)
class GatewayDeployer:
    """The operations of the stack's gateway, `GatewayOps`: a file that is applied decides what is sold.

    What the gateway was started with is for sale until the first deployment, and again once that is
    withdrawn; its free services stay beside every deployment, as they are nobody's paywall. A gateway with
    files of an earlier process starts with what it ran then. Faults act on the request whose id they carry.
    """

    harness: Harness
    gateway: Gateway
    owner_of: Callable[[str], str | None]
    disk: GatewayDisk

    def __post_init__(self) -> None:
        self._faults = self.harness.faults
        self._initial = self.gateway.services
        self._free = tuple(service for service in self._initial if service.auth == "off")
        self._lock = threading.RLock()
        if self.disk.active is not None:
            self._load(self._read(self.disk.config(self.disk.active.config_hash)))

    @property
    def image(self) -> str:
        """What the gateway runs as, as long as nobody orders another image."""
        return STAND_IN_IMAGE

    def active(self, *, request_id: str) -> ActiveDeployment | None:
        """Return what runs, None when nothing was ever deployed.

        Raises:
            GatewayOpsError: the fault `ActiveLookupFailure` is active for the request.
        """
        if self._faults.active(faults.ActiveLookupFailure, request_id):
            raise GatewayOpsError("status_503")
        return self._running()

    def _start_in_vain(self, services: tuple[Service, ...], how: str) -> None:
        """Stop what runs, and start what does not come up."""
        self.gateway.load((), health_status=503)

    def _running(self) -> ActiveDeployment | None:
        return self.disk.active

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
                the fault `DeployFailure` is active for the request. Everything is as it was, unless that is
                `too_late`, or nothing starts: then nothing runs.
        """
        with self._lock:
            trouble = self._faults.active(faults.DeployFailure, request_id)
            if trouble is not None and trouble.how == "refused":
                raise GatewayOpsError("status_500")
            if hash_of(aperture_yaml.encode()) != config_hash:
                raise GatewayOpsError("config_hash_mismatch")
            if image_digest is not None and not is_pinned(image_digest):
                raise GatewayOpsError("image_digest_not_pinned")
            services = self._read(aperture_yaml)
            running = self.disk.active
            digest = image_digest or (None if running is None else running.image_digest) or self.image
            if trouble is not None and trouble.how == "image_not_pinned":
                digest = UNPINNED_IMAGE
            deployment = ActiveDeployment(
                deployment_id=deployment_id, config_hash=config_hash, image_digest=digest
            )
            self.disk.keep(config_hash, aperture_yaml)
            self.disk.activate(deployment)
            if trouble is not None and trouble.how in NOTHING_STARTS:
                self._start_in_vain(services, trouble.how)
                raise GatewayOpsError("does_not_start")
            # A file without services takes a deployment away, and brings up nothing that could be wrong.
            ill = bool(services) and self._faults.active(faults.DeployedUnhealthy, request_id) is not None
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
            services = self._read(self.disk.config(target.config_hash))
            self.disk.activate(target)
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
            self.disk.activate(None)
            if not is_silent:
                self.gateway.load(self._initial)

    def _is_rollback_silent(self, request_id: str) -> bool:
        failure = self._faults.active(faults.RollbackFailure, request_id)
        if failure is not None and not failure.silent:
            raise GatewayOpsError("status_500")
        return failure is not None

    def _read(self, aperture_yaml: str) -> tuple[Service, ...]:
        try:
            return load_services(aperture_yaml, self.owner_of)
        except ApertureConfigError as error:
            raise GatewayOpsError(str(error)) from error

    def _load(self, services: tuple[Service, ...], *, health_status: int = 200) -> None:
        self.gateway.load((*services, *self._free), health_status=health_status)

    def _as_it_comes_up(self, services: tuple[Service, ...], request_id: str) -> tuple[Service, ...]:
        """Return the services as the faults of the request let them come up."""
        if not services:
            return services
        changes: dict[str, Any] = {}
        if self._faults.active(faults.DeployedUpstreamUnreachable, request_id):
            changes["address"] = CLOSED_ADDRESS
        wrong = self._faults.active(faults.DeployedChallengeWrong, request_id)
        if wrong is not None and wrong.how == "open":
            changes["auth"] = "off"
        if wrong is not None and wrong.how == "closed":
            changes["authskipinvoicecreationpaths"] = ("^",)
        altered = (dataclasses.replace(service, **changes) for service in services) if changes else services
        if wrong is not None and wrong.how == "price":
            altered = (dataclasses.replace(item, price_msats=2 * item.price_msats) for item in altered)
        return tuple(altered)
