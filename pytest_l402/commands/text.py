"""What people read of an outcome: the verdict, each claim, the facts, the files; at most 100 columns."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_l402.commands.bad_input import plain
from pytest_l402.commands.claims import DEPLOY, claims_of
from pytest_l402.commands.outcome import Outcome

_WIDTH: Final = 100
_FACTS: Final = (
    "requestId",
    "configHash",
    "previousConfigHash",
    "ruleCount",
    "deploymentStatus",
    "rolledBackTo",
    "recordCount",
    "processed",
    "recorded",
    "deployed",
)


def text_of(command: str, outcome: Outcome) -> str:
    """Return the text without a line break at its end; nothing in it can colour or forge a line."""
    document = outcome.document
    verdict = "ok" if document["ok"] is True else "FAILED"
    lines = [f"{command}: {verdict} ({document['mode']})", *_claims(command, outcome)]
    shown = [(key, document[key]) for key in _FACTS if key in document]
    shown += [("not observed", ", ".join(document[key])) for key in ("notObserved",) if key in document]
    for key, value in shown:
        lines += _wrapped(f"  {key:20}", str(value).lower() if isinstance(value, bool) else str(value))
    return "\n".join([*lines, *_files(outcome)])


def _claims(command: str, outcome: Outcome) -> Iterator[str]:
    claims = claims_of(command, outcome.document)
    known = {code for claim in claims for code in claim.codes}
    not_reached = False
    steps: set[str] = set()
    for claim in claims:
        codes = claim.codes or {code for code, _ in outcome.failures} - known
        denied = [(code, reason) for code, reason in outcome.failures if code in codes]
        held = outcome.document.get(claim.key) if claim.key else not not_reached
        if denied:
            not_reached = claims is DEPLOY
            yield f"  failed  {claim.text}"
            yield from _parts(denied, outcome, None if claim.next_step in steps else claim.next_step)
            steps.add(claim.next_step)
        elif held is not None:
            yield f"  {'ok' if held else '-':6}  {claim.text}"


def _parts(denied: list[tuple[str, str]], outcome: Outcome, next_step: str | None) -> Iterator[str]:
    codes = ", ".join(dict.fromkeys(code for code, _ in denied))
    reasons = dict.fromkeys(reason for _, reason in denied)
    yield from _wrapped("          seen   ", "; ".join(reasons))
    request_id = outcome.document.get("requestId")
    yield from _wrapped("          where  ", codes if request_id is None else f"{codes} of {request_id}")
    if next_step is not None:
        known = {**outcome.document["artifacts"], "requestId": request_id}
        yield from _wrapped("          next   ", next_step.format_map(known))


def _files(outcome: Outcome) -> Iterator[str]:
    """Name the folder and its files; a path is never broken, so that it can be copied."""
    paths = dict(outcome.document["artifacts"])
    folder = plain(str(paths.pop("artifactDir")))
    yield "files"
    yield f"  {folder}/"
    names = (Path(path).name for key, path in paths.items() if key.endswith("Path"))
    yield from _wrapped("  ", ", ".join(names))


def _wrapped(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        plain(text), _WIDTH, initial_indent=label, subsequent_indent=" " * len(label), break_on_hyphens=False
    ) or [label.rstrip()]
