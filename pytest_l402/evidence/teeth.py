"""Decides whether a check is able to fail: it notices each mutant for what that alters, and noise never."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from pytest_l402.evidence.answers import Answer, ask, concerns, told_about
from pytest_l402.evidence.check import Canary, Check, Fate, Finding, MutantResult, MutantVerdict
from pytest_l402.evidence.mutants import Altered, Mutant, alterations, changed_rows
from pytest_l402.evidence.spelling import vocabulary_of
from pytest_l402.evidence.tables import Evidence

_NOISE: Final = "canary"
"""The table, and the key of rows, that nobody knows and no check may look at."""


class Trial:
    """A mutant as it is put to a check: made first of all, so that making it can tell no judge of it."""

    def __init__(self, check: Check, mutant: Mutant, evidence: Evidence) -> None:
        self._check = check
        self._mutant = mutant
        self._evidence: Evidence | None = None
        self._untried = ""
        self._altered: tuple[Altered, ...] = ()
        try:
            made = mutant.apply(evidence)
            changed = list(changed_rows(evidence, made))
            self._altered = alterations(changed)
            self._untried = vocabulary_of(evidence).unlike_evidence(changed) or ""
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # a mutant that cannot be made is a survivor, not the end of the run
            self._untried = f"the mutant raised {type(error).__name__}: {error}"
        else:
            self._evidence = made

    def ask(self) -> Answer:
        """What the check says of the mutant: up to the first finding about what it alters."""
        if self._evidence is None or self._untried or not self._altered:
            return Answer()
        return ask(self._check, self._evidence, self._kills)

    def result(self, answer: Answer) -> MutantResult:
        """What that answer means."""
        verdict, detail = self._judged(answer)
        return MutantResult(self._mutant.name, verdict, detail)

    def _judged(self, answer: Answer) -> tuple[MutantVerdict, str]:
        if self._untried:
            return MutantVerdict.SURVIVED, self._untried
        if not self._altered:
            return MutantVerdict.NOT_APPLICABLE, "not applicable: it did not change this evidence"
        if answer.decided:
            return MutantVerdict.KILLED, answer.findings[-1].seen
        if answer.fault is not None:
            return MutantVerdict.SURVIVED, f"the check fell over instead of judging: {answer.fault.seen}"
        if answer.findings:
            first = answer.findings[0]
            altered = ", ".join(table if key is None else f"{table}.{key}" for table, key in self._altered)
            detail = f"killed for another reason: it altered {altered}, and the finding is about "
            return MutantVerdict.WRONG_REASON, f"{detail}{told_about(first)}: {first.seen}"
        return MutantVerdict.SURVIVED, "survived: the check found nothing wrong with it"

    def _kills(self, finding: Finding) -> bool:
        known = () if self._evidence is None else self._evidence.names
        return concerns(finding, (*self._altered, *self._mutant.follows), self._check.tables, known)


def noise_canary(
    check: Check, evidence: Evidence, rows: Mapping[str, tuple[dict[str, Any], ...]], read: Collection[str]
) -> Canary:
    """Noise where the check does not look must survive it.

    A table that nobody knows; a row more in each table that the check did not `read`; in the rows of those
    that it did, a key that nobody knows, unless the check declares that it looks at every field of them.
    """
    noise = {_NOISE: "noise"}
    tables: dict[str, tuple[dict[str, Any], ...]] = {}
    for name, known in rows.items():
        if name not in read:
            tables[name] = (*known, noise)
        elif name not in check.every_field_of:
            tables[name] = tuple({**row, **noise} for row in known)
        else:
            tables[name] = known
    answer = ask(check, evidence.with_shared({**tables, _NOISE: (noise,)}), lambda finding: True)
    told = answer.findings[0] if answer.findings else answer.fault
    return Canary(
        "noise in tables and fields that it does not look at",
        due=Fate.SURVIVES,
        seen=Fate.SURVIVES if told is None else Fate.DIES,
        detail="" if told is None else f"{told.seen}, in {told.where}",
    )


def emptied_canary(check: Check, dies: bool) -> Canary:
    """Without a row in its main table the check must not hold."""
    name = f"{check.tables[0]}: no row is left"
    return Canary(name, due=Fate.DIES, seen=Fate.DIES if dies else Fate.SURVIVES)
