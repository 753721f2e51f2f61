"""Decides what a run sells instead of the stack's own shop: the file of `--l402-aperture-config`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from pytest_l402.plugin.options import APERTURE_CONFIG
from pytest_l402.plugin.run import RUN

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_l402.ops.aperture.finding import Finding
    from pytest_l402.stack.aperture.casting import Named
    from pytest_l402.stack.aperture.programs import Programs
    from pytest_l402.stack.sold import Role, Sold

_MOST_BYTES: Final = 1 << 19
_MOST_LINES: Final = 20


@dataclass(frozen=True, slots=True)
class OnSale:
    """The file as it was read, and what is sold by it."""

    text: str
    sold: Sold


_ON_SALE: Final[pytest.StashKey[OnSale]] = pytest.StashKey()


def on_sale(config: pytest.Config) -> OnSale | None:
    """Return the file that is sold, read and judged once a process; None when the stack's own shop is.

    Raises `pytest.UsageError`: a line for each error that the linter finds, or one that says what else it is.
    """
    settings = config.stash[RUN].settings
    if settings.aperture_config is None:
        return None
    if _ON_SALE not in config.stash:
        config.stash[_ON_SALE] = _read(settings.aperture_config, settings.sold)
    return config.stash[_ON_SALE]


def sold_now(config: pytest.Config, program: Programs | None) -> Sold | None:
    """Return what is sold by that file, in the copy that is rehearsed: the program's, if there is one."""
    from pytest_l402.stack.aperture.sold_file import rehearsed_in

    file = on_sale(config)
    if file is None or program is None:
        return None if file is None else file.sold
    return rehearsed_in(file.sold, file.text, program.configuration)


def _read(path: Path, roles: tuple[str, ...]) -> OnSale:
    from pytest_l402.stack.aperture.casting import UnsaleableError
    from pytest_l402.stack.aperture.sold_file import LintedError, sold_by_file

    text = _text(path)
    try:
        return OnSale(text, sold_by_file(text, path, os.environ, _named(roles)))
    except LintedError as linted:
        raise pytest.UsageError(_told(path, linted.errors)) from None
    except UnsaleableError as unsaleable:
        raise pytest.UsageError(f"{APERTURE_CONFIG.flag}: {path.name}: {unsaleable}") from None


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        if len(data) > _MOST_BYTES:
            expected, seen = f"at most {_MOST_BYTES} bytes", "more"
            raise _refusal(path, expected, seen, "rehearse a part of the file")
        return data.decode("utf-8")
    except OSError as error:
        raise _refusal(path, "a file to read", error.strerror or "an error", "correct it") from None
    except UnicodeDecodeError as error:
        seen = f"another byte at offset {error.start}"
        raise _refusal(path, "UTF-8", seen, "write the file as UTF-8") from None


def _refusal(path: Path, expected: str, seen: str, remedy: str) -> pytest.UsageError:
    return pytest.UsageError(
        f"{APERTURE_CONFIG.flag}: {path.name}: expected {expected}, saw {seen}; {remedy}"
    )


def _named(roles: tuple[str, ...]) -> Mapping[Role, Named]:
    from pytest_l402.stack.aperture.casting import Named
    from pytest_l402.stack.sold import Role

    found: dict[Role, Named] = {}
    for each in roles:
        role, _, rest = each.partition("=")
        resource, at, sats = rest.partition("@")
        found[Role(role)] = Named(resource, int(sats) if at else None)
    return found


def _told(path: Path, errors: tuple[Finding, ...]) -> str:
    number = f"{len(errors)} error{'s' * (len(errors) != 1)}"
    first = f"{APERTURE_CONFIG.flag}: expected a file without errors, saw {number}; correct what lint says"
    lines = (
        f"{path.name}:{error.place.line}:{error.place.column}: {error.code}: {error.says}; "
        f"instead: {error.remedy}"
        for error in errors[:_MOST_LINES]
    )
    left_out = len(errors) - _MOST_LINES
    return "\n".join((first, *lines, *((f"and {left_out} more",) if left_out > 0 else ())))
