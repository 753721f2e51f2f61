"""Decides whether a run that holds rehearsals may start, and reads what they are measured against."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.plugin.clock import day_of, now_ms
from pytest_l402.plugin.options import ARTIFACT_DIR, COMPARE, SIGN_KEY, check_output_folder
from pytest_l402.plugin.run import ARTIFACTS, RUN, Run
from pytest_l402.plugin.settings import LIVE

if TYPE_CHECKING:
    from pytest_l402.evidence.check import RunbookLine
    from pytest_l402.plugin.marker import RehearsalMark
    from pytest_l402.signoff import SignOffDocument
    from pytest_l402.signoff.catalogue import Catalogue
    from pytest_l402.signoff.signing import SigningKey
    from pytest_l402.signoff.waivers import Waiver

# Without these an exception in a thread or a finalizer of the system under rehearsal would pass unseen.
WATCHERS: Final = ("warnings", "threadexception", "unraisableexception")


@dataclass(frozen=True, slots=True)
class Preparation:
    """What the rehearsals of a run are measured against; `key` signs it, `baseline` is the run that it is
    compared with: None on a worker.
    """

    catalogue: Catalogue
    families: tuple[str, ...]
    waivers: tuple[Waiver, ...]
    today: date
    key: SigningKey | None = None
    baseline: SignOffDocument | None = None

    @property
    def required(self) -> tuple[str, ...]:
        """The ids of the rehearsals that this run's sign-off needs, in the catalogue's order."""
        return tuple(entry.id for entry in self.catalogue.required(self.families))

    def lines(self, runbook_id: str) -> Mapping[str, RunbookLine]:
        """The lines of one runbook by their id, in the form in which violations quote them."""
        runbook = self.catalogue.runbook(runbook_id)
        return {} if runbook is None else {line.id: line.cited for line in runbook.lines}

    def waiver_of(
        self, mark: RehearsalMark, check: str | None = None, line: str | None = None
    ) -> Waiver | None:
        """Return what covers a rehearsal today, or one check or line of it; None if nothing does."""
        from pytest_l402.signoff.waivers import covering_waiver

        return covering_waiver(
            self.waivers, self.today, rehearsal=mark.rehearsal, runbook=mark.runbook, check=check, line=line
        )


PREPARATION: Final[pytest.StashKey[Preparation]] = pytest.StashKey()
"""On the config: the catalogue and the waivers, once a rehearsal asked for them."""


def prepare(config: pytest.Config) -> Preparation:
    """Read what the run is measured against, once a process; raises `pytest.UsageError` with one line."""
    preparation = config.stash.get(PREPARATION, None)
    if preparation is None:
        preparation = config.stash[PREPARATION] = _prepare(config, config.stash[RUN])
    return preparation


def check_families(run: Run) -> None:
    """Raise `pytest.UsageError` for a required family that the catalogue does not have."""
    _load_catalogue(run)


WAY_MADE: Final[pytest.StashKey[bool]] = pytest.StashKey()
"""On the config: whether this process has moved aside what lay where the full flow is looked for."""


def make_way(config: pytest.Config) -> None:
    """Move earlier runs aside, and once a run what others left where the full flow is looked for.

    Raises `pytest.UsageError` if they cannot be moved.
    """
    from pytest_l402.ops.earlier_artifacts import FULL_FLOW, move_earlier_aside

    run = config.stash[RUN]
    move_previous_aside(run)
    if config.stash.get(WAY_MADE, False):
        return
    config.stash[WAY_MADE] = True
    folder = run.settings.artifact_dir
    try:
        move_earlier_aside(folder, FULL_FLOW)
    except OSError as error:
        raise pytest.UsageError(
            f"{folder}: expected to move earlier artifacts aside, saw: {error}"
        ) from error


def move_previous_aside(run: Run) -> None:
    """Move the folders of earlier runs away, so that an old sign-off is never taken for a new one; their
    copies in the artifact folder go.

    Raises `pytest.UsageError` if they cannot be moved.
    """
    from pytest_l402.signoff.files import move_aside, remove_abandoned, withdraw_copies

    settings = run.settings
    try:
        remove_abandoned(settings.signoff_dir, keep=settings.keep_previous, current=run.run_id)
        for moved in move_aside(run.settings.signoff_dir, keep=run.run_id):
            withdraw_copies(moved, run.settings.artifact_dir, ARTIFACTS)
    except OSError as error:
        raise pytest.UsageError(
            f"{run.settings.signoff_dir}: expected to move earlier runs aside, saw: {error}"
        ) from error


def _prepare(config: pytest.Config, run: Run) -> Preparation:
    for name in WATCHERS:
        if not config.pluginmanager.hasplugin(name):
            raise pytest.UsageError(
                f"-p no:{name}: expected pytest's own {name} plugin in a run with rehearsals, saw it "
                "switched off; leave it on, or an exception in a thread passes unseen"
            )
    if sys.flags.optimize:
        raise pytest.UsageError(
            "python -O, or PYTHONOPTIMIZE: expected asserts to be run, saw a Python that leaves them out; "
            "start it without"
        )
    if run.dist == "each":
        raise pytest.UsageError(
            "--dist=each: expected every rehearsal to run once, saw a mode that runs it on each worker; "
            "use --dist=load"
        )
    if run.settings.mode == LIVE:
        _check_environment()
    catalogue = _load_catalogue(run)
    today = day_of(now_ms())
    waivers = _load_waivers(run, catalogue, today)
    if run.settings.aperture_config is not None:
        from pytest_l402.plugin.file_on_sale import on_sale

        on_sale(config)
    _make_output_folder(run)
    return Preparation(catalogue, run.settings.required, waivers, today, _signing_key(run), _baseline(run))


def _check_environment() -> None:
    from pytest_l402.live import EnvironmentVariableError, control_plane_access, gateway_access

    try:
        control_plane_access(os.environ)
        gateway_access(os.environ)
    except EnvironmentVariableError as error:
        raise pytest.UsageError(f"--l402-mode=live: {error}") from error


def _signing_key(run: Run) -> SigningKey | None:
    """The key of a run, read before anything runs; no worker reads it."""
    path = run.settings.sign_key
    if path is None or run.worker is not None:
        return None
    from pytest_l402.signoff.signing import UnusableKeyError, read_signing_key

    try:
        return read_signing_key(path)
    except UnusableKeyError as error:
        raise pytest.UsageError(f"{SIGN_KEY.flag}: {error}") from error


def _baseline(run: Run) -> SignOffDocument | None:
    """The run to compare with, read before anything is moved aside."""
    path = run.settings.compare
    if path is None or run.worker is not None:
        return None
    from pytest_l402.boundary import InputError
    from pytest_l402.signoff import read_signoff

    try:
        return read_signoff(path)
    except InputError as error:
        raise pytest.UsageError(f"{COMPARE.flag}: {error}") from error


def _make_output_folder(run: Run) -> None:
    folder = run.settings.signoff_dir
    check_output_folder(folder, ARTIFACT_DIR.flag)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise pytest.UsageError(
            f"{ARTIFACT_DIR.flag}: expected a folder to write to, saw {folder}: {error.strerror}; "
            "name another folder"
        ) from error


def _load_catalogue(run: Run) -> Catalogue:
    from pytest_l402.signoff.catalogue import Catalogue, CatalogueError

    try:
        catalogue = Catalogue.load(run.settings.catalogue)
        catalogue.required(run.settings.required)
    except CatalogueError as error:
        raise pytest.UsageError(str(error)) from error
    return catalogue


def _load_waivers(run: Run, catalogue: Catalogue, today: date) -> tuple[Waiver, ...]:
    from pytest_l402.signoff.waivers import WaiverError, load_waivers, missing_local_artifact_waiver

    settings = run.settings
    waivers: tuple[Waiver, ...] = ()
    if settings.waivers is not None:
        try:
            waivers = load_waivers(settings.waivers, catalogue, today)
        except WaiverError as error:
            raise pytest.UsageError(str(error)) from error
    given = settings.local_artifact is not None and settings.local_artifact.is_file()
    if settings.allow_missing_local_artifact and not given:
        waivers = (*waivers, missing_local_artifact_waiver(today))
    return waivers
