"""Decides whether a secret stood in any row or artifact of a test."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.selecting import at, capped
from pytest_l402.evidence.mutants import remove_rows, set_value
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.secret_scan import CONTROL, SECRET_SCAN
from pytest_l402.evidence.tables import Evidence, Row


@described
def no_secrets() -> Check:
    """No row and no artifact held a preimage, a macaroon, a credential, a token or another secret.

    What was kept is without them already. It is looked for by form, by name, and by the digests of what was
    issued; a search that misses what is planted for it is a violation as well.
    """
    return Check(
        "no_secrets()",
        lambda evidence: capped(_findings(evidence)),
        (
            set_value(SECRET_SCAN, "secrets", 1, _is_real).named(f"{SECRET_SCAN}: a secret stood somewhere"),
            set_value(SECRET_SCAN, "secrets", 0, _is_control).named(
                f"{SECRET_SCAN}: a planted one is missed"
            ),
            remove_rows(SECRET_SCAN, _is_control).named(f"{SECRET_SCAN}: nothing was planted"),
        ),
        (SECRET_SCAN,),
    )


def _is_control(row: Row) -> bool:
    return row.get("place") == CONTROL


def _is_real(row: Row) -> bool:
    return not _is_control(row)


def _findings(evidence: Evidence) -> Iterator[Finding]:
    planted = 0
    for index, row in enumerate(evidence.table(SECRET_SCAN)):
        about = (Subject(SECRET_SCAN, "secrets", rows=(index,)),)
        place, secrets = row.get("place"), row.get("secrets")
        if _is_control(row):
            planted += 1
            if secrets != row.get("searched") or not secrets:
                yield Finding(
                    "a search that finds every secret planted for it",
                    f"{secrets} of {row.get('searched')} found",
                    at(SECRET_SCAN, index),
                    "mend the redaction of pytest-l402; until then no row is known to be without secrets",
                    about,
                )
        elif secrets != 0:
            places = ", ".join(map(str, row.get("found") or ())) or "a place that is not told"
            yield Finding(
                f"no secret in {place}",
                f"{secrets} redacted there: {places}",
                at(SECRET_SCAN, index),
                "keep secrets out of what is logged and recorded; record a digest, and revoke what was shown",
                about,
            )
    if not planted:
        yield Finding(
            "a search that is shown to find secrets",
            "none was planted for it",
            at(SECRET_SCAN),
            "keep the row of what was planted",
            (Subject(SECRET_SCAN),),
        )
