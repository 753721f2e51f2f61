"""Decides what a run was asked to do: the resolved options, frozen, as every process of the run sees them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

MOCK: Final = "mock"
LIVE: Final = "live"
MODES: Final = (MOCK, LIVE)
"""What can be rehearsed: the stand-in stack, which is the default, or a deployed system."""

ROLES_ON_SALE: Final = ("premium", "expensive", "expiring", "free")
"""What of a shop a rehearsal may ask for."""

FACES: Final = ("lnd", "wavelength")
"""How a gateway that is a program can get its invoices: as from lnd, or as from a wallet daemon."""

SIGNERS: Final = ("party", "outsider", "unstated")
"""Whether whoever signs a run has a part in what was tested; the last one is the default."""

_PATHS: Final = (
    *("artifact_dir", "local_artifact", "waivers", "catalogue", "workflow_tables", "billing"),
    *("gateway_program", "sign_key", "aperture_config", "compare"),
)


class Settings(NamedTuple):
    """The options of one run, resolved. Paths are absolute.

    `required` holds family names (empty = every family); `required_at_hand` says that they came from the
    command line or the environment, so that a wrong one is refused even where no rehearsal is collected.
    `workflow_database` is where durable workflows are kept: None for SQLite, a word, or a URL;
    `workflow_tables` names the tables of a deployed one. `billing` is the file about a deployed billing
    service, `count_cmd` the command that counts its effects.
    `allow_live_changes` is the permission to change a deployed system for the length of a rehearsal.
    `keep_previous` is how many of the runs that were moved aside are kept. A test that takes longer than
    `progress_after_ms` is told of while it runs; 0: none is. `clock_start_ms` is where the
    stack's clock starts, epoch ms; None is the same moment in every run. `gateway_program` is the program
    that plays the stack's gateway, None for its own, and `gateway_invoices` how that gets its invoices.
    `sign_key` is the private key that signs the run, `signer` whether its owner has a part in what is tested,
    `valid_days` for how long a sign-off counts, `compare` the run that this one must not fall short of.
    `aperture_config` is the file of Aperture's that is sold, None for the stack's own shop, and `sold` names
    who plays a role in it: "premium=/path", or "premium=/path@21" with its price in sats.
    """

    mode: str
    artifact_dir: Path
    local_artifact: Path | None
    allow_missing_local_artifact: bool
    required: tuple[str, ...]
    required_at_hand: bool
    teeth: bool
    waivers: Path | None
    seed: int
    catalogue: Path
    allow_live_changes: bool = False
    workflow_database: str | None = None
    workflow_tables: Path | None = None
    keep_previous: int = 10
    progress_after_ms: int = 10_000
    clock_start_ms: int | None = None
    billing: Path | None = None
    count_cmd: str | None = None
    gateway_program: Path | None = None
    gateway_invoices: str | None = None
    sign_key: Path | None = None
    signer: str = SIGNERS[-1]
    valid_days: int = 30
    aperture_config: Path | None = None
    sold: tuple[str, ...] = ()
    compare: Path | None = None

    @property
    def signoff_dir(self) -> Path:
        """Where each run has its folder."""
        return self.artifact_dir / "signoff"

    def to_wire(self) -> dict[str, Any]:
        """Return plain builtins, which is all that reaches an xdist worker."""
        named = {**self._asdict(), "required": list(self.required), "sold": list(self.sold)}
        return {name: str(value) if isinstance(value, Path) else value for name, value in named.items()}

    @classmethod
    def from_wire(cls, plain: dict[str, Any]) -> Settings:
        """Read what `to_wire` made."""
        paths = {name: Path(plain[name]) for name in _PATHS if plain[name] is not None}
        texts = {name: tuple(plain[name]) for name in ("required", "sold")}
        return cls(**{**plain, **paths, **texts})
