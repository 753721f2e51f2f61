"""`explain`: say of an id in a report what it means, by which line of which runbook, and what to do."""

from __future__ import annotations

import argparse
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytest_l402.commands.bad_input import BadInput, plain, shown
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out
from pytest_l402.commands.shipped import shipped

if TYPE_CHECKING:
    from pytest_l402.commands.explanations import Explanation

_WIDTH: Final = 100
_OWN: Final = Path("rehearsals") / "catalogue.yaml"
_RUNS: Final = ("signoff", "refusal", "drill")
_EXIT_CODES: Final = """\
exit codes:
  0  it is explained
  2  nothing is called so, or the catalogue cannot be read
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    parser.description = (
        "Say of an id what it means, by which line of which runbook, and what to do: of a line, a\n"
        "rehearsal, a check, a mutant, a reason, a state, a failure code, a diagnostic, a code of lint, a\n"
        "rule of triage, a deny reason, a fault. Lines are those of rehearsals/catalogue.yaml, or, where\n"
        "there is none, of the rehearsals that come with the package."
    )
    parser.epilog = _EXIT_CODES
    parser.add_argument(
        "id", metavar="ID", help="as a report shows it, such as 3.cache-hit or check-violated"
    )
    parser.add_argument("--catalogue", metavar="PATH", help="the lines of this catalogue")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")


def run(given: argparse.Namespace) -> int:
    """Print what the id means and return the exit code."""
    return carry_out("explain", lambda: _explain(given.id, given.catalogue), as_json=given.json, text=_text)


def _explain(name: str, catalogue: str | None) -> Outcome:
    found = list(_found(name.strip(), catalogue))
    return Outcome({"ok": True, "id": name, "explanations": [each.to_row() for each in found]})


def _found(name: str, catalogue: str | None) -> Iterator[Explanation]:
    from pytest_l402.boundary.text_safety import suggestion
    from pytest_l402.commands.explanations import explanations, of_mutant
    from pytest_l402.signoff.catalogue import CatalogueError
    from pytest_l402.signoff.provers import Rehearsed

    path = Path(catalogue) if catalogue else _OWN if _OWN.is_file() else shipped("rehearsals") / _OWN.name
    try:
        rehearsed = Rehearsed(path)
    except (CatalogueError, OSError) as error:
        raise BadInput(f"--catalogue: {error}", "bad_catalogue") from None
    known = list(explanations(rehearsed))
    # A check is shown with what it was told to look for.
    called = name.partition("(")[0]
    found = [each for each in known if each.id == name or (each.kind == "check" and each.id == called)]
    runs = [path for kind in _RUNS for path in Path("output", "signoff").glob(f"*/{kind}.json")]
    mutant = None if found else of_mutant(name, runs, rehearsed)
    if mutant is not None:
        found = [mutant]
    if not found:
        hint = suggestion(name, [each.id for each in known])
        raise BadInput(
            f"expected an id of a line, rehearsal, check, mutant, code or fault, saw {shown(name)}{hint}",
            "unknown_id",
        )
    yield from found


def _text(command: str, outcome: Outcome) -> str:
    return "\n\n".join("\n".join(_lines(row)) for row in outcome.document["explanations"])


def _lines(row: Mapping[str, Any]) -> Iterator[str]:
    yield plain(f"{row['id']}  ({row['kind']})")
    parts = {"means": [row["means"]], "runbook": row["runbook"], "do": [row["do"]]}
    more = {key: value for key, value in row.items() if key not in ("kind", "id", *parts)}
    for label, values in (*parts.items(), *more.items()):
        for number, value in enumerate(filter(None, values)):
            before = f"  {'' if number else label:12}"
            yield from textwrap.wrap(
                plain(value),
                _WIDTH,
                initial_indent=before,
                subsequent_indent=" " * 14,
                break_on_hyphens=False,
            )
