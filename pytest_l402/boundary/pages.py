"""Decides how every page of ours is made: it loads nothing and runs nothing, and what comes from outside is
text on it.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_l402.boundary.redaction import redact_text
from pytest_l402.boundary.text_safety import printable, steerless

if TYPE_CHECKING:
    from jinja2 import Environment

_PACKAGE: Final = Path(__file__).parents[1]
_STYLE: Final = "boundary/templates/page.css"


def render(template: str, /, **told: Any) -> str:
    """Return the page that a template of this package makes of what is told; the same bytes for the same.

    `template` is a path below the package. All values are escaped; a name that nobody told is an error.
    """
    return _environment().get_template(template).render(**told)


def shown(value: object, limit: int = 300) -> str:
    """Return a value from outside as text for a page: no secret in it, nothing that steers or deceives, on
    one line, at most `limit` characters.
    """
    text = value if isinstance(value, str) else printable(value, limit)
    # Cut before it is looked at, so that a megabyte is not searched to show a line. What is cut through may
    # be a secret that is no longer known for one: as much again is read, and then left out.
    return printable(steerless(redact_text(text[: 2 * limit])), limit)


def paragraph(text: str, lines: int = 40) -> str:
    """Return text of several lines as it may stand on a page; at most so many lines of 300 characters."""
    told = text[:100_000].splitlines()
    kept = [shown(line) for line in told[:lines]]
    left = len(told) - len(kept)
    return "\n".join([*kept, f"(and {left} more lines)"] if left else kept)


def style() -> str:
    """Return the one style sheet that all pages have; its tokens are the custom properties of `:root`."""
    return (_PACKAGE / _STYLE).read_text(encoding="utf-8").strip()


def policy() -> str:
    """Return the content security policy of every page: its own style, by digest, and nothing else."""
    digest = base64.b64encode(hashlib.sha256(style().encode()).digest()).decode()
    return (
        f"default-src 'none'; style-src 'sha256-{digest}'; img-src data:; base-uri 'none'; form-action 'none'"
    )


@cache
def _environment() -> Environment:
    # A run without a page is not to pay for it.
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(_PACKAGE),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "paragraph": paragraph}
    # Ours, and not escaped: the digest of the policy is over these bytes.
    environment.globals |= {"style": Markup(style()), "policy": policy()}  # noqa: S704
    return environment
