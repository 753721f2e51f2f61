"""Decides when the program that plays the gateway is started, once a process of the run, and that it ends."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.plugin.gateway_option import UnusableProgramError
from pytest_l402.plugin.run import RUN
from pytest_l402.plugin.settings import FACES

if TYPE_CHECKING:
    from pytest_l402.stack.aperture.programs import Programs

_STACK: Final = "l402_stack"

PROGRAMS: Final[pytest.StashKey[Programs]] = pytest.StashKey()
"""On the config: the program that plays the gateway, once it was started."""


def programs(config: pytest.Config) -> Programs:
    """Return the program that plays the gateway, started.

    Raises:
        UnusableProgramError: it does not start, or cannot be given what it asks for.
    """
    known = config.stash.get(PROGRAMS, None)
    if known is None:
        known = config.stash[PROGRAMS] = _started(config)
        config.add_cleanup(partial(_end, known))
    return known


def start_early(config: pytest.Config, fixtures: Iterable[str]) -> None:
    """Start the program now if any of these fixtures needs it, so that a run without it ends in one line.

    Raises `pytest.UsageError`.
    """
    if config.stash[RUN].settings.gateway_program is None or _STACK not in fixtures:
        return
    try:
        programs(config)
    except UnusableProgramError as unusable:
        raise pytest.UsageError(str(unusable)) from None


def _started(config: pytest.Config) -> Programs:
    from pytest_l402.plugin.file_on_sale import on_sale
    from pytest_l402.stack.aperture.gateway_process import ProgramFailed
    from pytest_l402.stack.aperture.programs import Programs

    settings, file = config.stash[RUN].settings, on_sale(config)
    assert settings.gateway_program is not None
    face = settings.gateway_invoices or FACES[0]
    try:
        if file is None:
            return Programs(settings.gateway_program, face).start()
        return Programs(settings.gateway_program, face, file.sold.services, text=file.text).start()
    except ImportError:
        expected, remedy = "grpcio and cryptography", "pip install 'pytest-l402[aperture]'"
        remedy += ", or take --l402-gateway-invoices=wavelength"
        raise UnusableProgramError(expected, remedy) from None
    except ProgramFailed as error:
        raise UnusableProgramError("", "", said=str(error)) from None
    except OSError as error:
        seen = f"expected room for the program's files, saw {error}; let TMPDIR name a folder with room"
        raise UnusableProgramError("", "", said=f"--l402-gateway: {seen}") from None


def _end(known: Programs) -> None:
    """End what a run that was cut off has left; whoever ended it before has told how that went."""
    from pytest_l402.stack.aperture.gateway_process import ProgramFailed

    with suppress(ProgramFailed):
        known.stop()
