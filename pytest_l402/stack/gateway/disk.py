"""Decides what a gateway still knows after it was killed: its files, and which of them it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pytest_l402.boundary import read_json
from pytest_l402.boundary.whole_files import write_document, write_text
from pytest_l402.ops.reconcile.ports import ActiveDeployment, GatewayOpsError

ACTIVE_NAME = "active.json"


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
