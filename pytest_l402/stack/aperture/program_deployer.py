"""How a gateway that is a program is brought to a configuration: it is started anew, with another file."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOpsError
from pytest_l402.stack.aperture.gateway_process import ProgramFailed
from pytest_l402.stack.gateway.deployer import GatewayDeployer
from pytest_l402.stack.gateway.services import Service

if TYPE_CHECKING:
    from pytest_l402.stack.aperture.programs import Programs


class ProgramDeployer(GatewayDeployer):
    """The operations of a program, which is its own image; what runs is read from the process itself."""

    _loaded: ActiveDeployment | None = None

    @property
    def image(self) -> str:
        """What pins the program."""
        return self._programs.program.digest

    @property
    def _programs(self) -> Programs:
        gateway: Any = self.gateway
        programs: Programs = gateway.programs
        return programs

    def _running(self) -> ActiveDeployment | None:
        """Return what the deployed process was started with; where none runs, what it is to be started with.

        Raises:
            GatewayOpsError: its file is no longer the one that was written for it.
        """
        run = self._programs.deployed
        if run is None or run.process.ended is not None:
            return self.disk.active
        if run.process.file_as_started() != run.configuration:
            raise GatewayOpsError("runs_with_a_file_that_was_changed")
        return self._loaded

    def _start_in_vain(self, services: tuple[Service, ...], how: str) -> None:
        with suppress(ProgramFailed):
            self._programs.deploy((*services, *self._free), spoiled_by=how)

    def _load(self, services: tuple[Service, ...], *, health_status: int = 200) -> None:
        self._loaded = self.disk.active
        super()._load(services, health_status=health_status)
