"""Decides what is asked of the model: verdicts, counts by cause, the worst requests, and why each is so."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Final

from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.triage.conclusion import Diagnosis, concluded
from pytest_l402.triage.correlation import RECORD_COLUMNS, Engine, statements
from pytest_l402.triage.overview import Cause, Overview
from pytest_l402.triage.record_row import RecordRow
from pytest_l402.triage.rules import Domain

_WORST: Final = 5
_AT_ONCE: Final = 500
_WORST_FIRST: Final = "paid_msats desc, coalesce(first_at_ms, 0), request_id"
_STORY: Final = tuple(
    re.findall(r"\bas (\w+)", dict(statements())["request_story"].rpartition("\nfrom request_ids")[0])
)


@dataclass(frozen=True, slots=True)
class Choice:
    """Which requests are meant: of these domains, or all that failed; lasting until `since_ms` or later."""

    domains: tuple[Domain, ...] = ()
    since_ms: int | None = None
    healthy_too: bool = False

    def where(self) -> tuple[str, list[str]]:
        """The condition on `request_verdicts`, and its parameters."""
        conditions, parameters = ["1 = 1"], []
        if self.domains:
            conditions.append(f"domain in ({_marks(self.domains)})")
            parameters += [domain.value for domain in self.domains]
        elif not self.healthy_too:
            conditions.append("domain <> 'healthy'")
        if self.since_ms is not None:
            conditions.append(f"(last_at_ms is null or last_at_ms >= {int(self.since_ms)})")
        return " and ".join(conditions), parameters

    def takes(self, diagnosis: Diagnosis) -> bool:
        """Whether a request is meant."""
        if self.domains and diagnosis.domain not in self.domains:
            return False
        if not self.domains and not self.healthy_too and diagnosis.healthy:
            return False
        last = diagnosis.last_at_ms
        return self.since_ms is None or last is None or last >= self.since_ms


class Findings:
    """What the model says of records, asked of the engine that ran it; nothing is asked that nobody wants."""

    def __init__(self, engine: Engine) -> None:
        self._rows = engine.rows

    @property
    def n_unattributable(self) -> int:
        """How many broken records name no request."""
        ((count,),) = self._rows("select count(*) from l402_violations where request_id is null")
        return int(count)

    def overview(self, n_records: int) -> Overview:
        """Count by domain and cause; the cause with the most money first, then the most frequent."""
        counted = dict(self._rows("select domain, count(*) from request_verdicts group by domain"))
        ((first, last),) = self._rows("select min(first_at_ms), max(last_at_ms) from request_verdicts")
        worst: dict[str, list[str]] = {}
        for rule, request_id in self._rows(
            "select rule, request_id from (select rule, request_id, row_number() over (partition by rule "  # noqa: S608 - ours
            f"order by {_WORST_FIRST}) as place from request_verdicts where domain <> 'healthy') ranked "
            f"where place <= {_WORST} order by rule, place"
        ):
            worst.setdefault(rule, []).append(request_id)
        causes = [
            Cause(Domain(domain), rule, int(count), int(paid), since, tuple(worst[rule]))
            for domain, rule, count, paid, since in self._rows(
                "select domain, rule, count(*), sum(paid_msats), min(first_at_ms) from request_verdicts "
                "where domain <> 'healthy' group by domain, rule"
            )
        ]
        return Overview(
            n_records,
            {domain: int(counted[domain.value]) for domain in Domain if domain.value in counted},
            tuple(sorted(causes, key=lambda cause: (-cause.paid_msats, -cause.n_requests, cause.rule))),
            first,
            last,
        )

    def slots(self, first_ms: int, slot_ms: int) -> Iterator[tuple[int, Domain, int]]:
        """How many requests of each domain began in each slot of time, counted from `first_ms`."""
        for begun, domain, count in self._rows(
            f"select begun, domain, count(*) from (select first_at_ms - (first_at_ms - {int(first_ms)}) % "  # noqa: S608 - ours
            f"{int(slot_ms)} as begun, domain from request_verdicts where first_at_ms is not null) slotted "
            "group by begun, domain"
        ):
            yield (begun - first_ms) // slot_ms, Domain(domain), int(count)

    def diagnoses(self, request_ids: Sequence[str] | None = None) -> Iterator[Diagnosis]:
        """Say of each request, or of these, which rule decided and on which record; in order of their ids."""
        if request_ids is None:
            yield from self._diagnoses(None)
            return
        wanted = sorted(set(request_ids))
        for begin in range(0, len(wanted), _AT_ONCE):
            yield from self._diagnoses(wanted[begin : begin + _AT_ONCE])

    def chosen(self, choice: Choice, limit: int | None = None) -> list[str]:
        """The ids of what is meant, the worst first: what failed, what was paid, the earliest."""
        where, parameters = choice.where()
        found = self._rows(
            f"select request_id from request_verdicts where {where} "  # noqa: S608 - ours
            f"order by case when domain = 'healthy' then 1 else 0 end, {_WORST_FIRST}"
            + ("" if limit is None else f" limit {int(limit)}"),
            parameters,
        )
        return [request_id for (request_id,) in found]

    def count(self, choice: Choice) -> int:
        """How many are meant."""
        where, parameters = choice.where()
        ((count,),) = self._rows(f"select count(*) from request_verdicts where {where}", parameters)  # noqa: S608 - ours
        return int(count)

    def beginning(self, text: str, limit: int) -> list[str]:
        """Ids that begin so, at most `limit` of them, in order."""
        found = self._rows(
            f"select request_id from request_verdicts where substr(request_id, 1, {len(text)}) = ? "  # noqa: S608 - ours
            f"order by request_id limit {int(limit)}",
            [text],
        )
        return [request_id for (request_id,) in found]

    def count_beginning(self, text: str) -> int:
        """How many ids begin so."""
        ((count,),) = self._rows(
            f"select count(*) from request_verdicts where substr(request_id, 1, {len(text)}) = ?",  # noqa: S608 - ours
            [text],
        )
        return int(count)

    def proofs(self) -> Iterator[tuple[str, str]]:
        """Each request with each of the proofs that it names."""
        yield from self._rows(
            "select request_id, payment_proof_ref from l402_records "
            "where request_id is not null and payment_proof_ref is not null "
            "group by request_id, payment_proof_ref"
        )

    def long_texts(self, length: int) -> Iterator[tuple[str | None, str | None, str | None]]:
        """Ids, proofs and reasons of records that have one of so many characters or more."""
        yield from self._rows(
            "select request_id, payment_proof_ref, deny_reason from l402_records "  # noqa: S608 - ours
            f"where length(request_id) >= {length} or length(payment_proof_ref) >= {length} "
            f"or length(deny_reason) >= {length}"
        )

    def untimed(self) -> tuple[int, int] | None:
        """How many records have a time that cannot be milliseconds, and the number of the first, if any."""
        ((count, first),) = self._rows(
            "select count(*), min(line) from l402_records "
            "where observed_at_ms < 1000000000000 or observed_at_ms > 9999999999999"
        )
        return (int(count), int(first)) if count else None

    def far_apart(self, span_ms: int) -> tuple[int, str] | None:
        """How many requests have records further apart than this, and the first of them; None for none."""
        ((count, first),) = self._rows(
            "select count(*), min(request_id) from request_verdicts "  # noqa: S608 - ours
            f"where last_at_ms - first_at_ms > {int(span_ms)}"
        )
        return (int(count), str(first)) if count else None

    def told_of(self, request_ids: Sequence[str]) -> dict[str, list[tuple[int, RecordRow]]]:
        """The valid records of some requests by their numbers, in the order of their times."""
        told: dict[str, list[tuple[int, RecordRow]]] = {each: [] for each in request_ids}
        wanted = sorted(told)
        for begin in range(0, len(wanted), _AT_ONCE):
            for request_id, number, *cells in self._told(wanted[begin : begin + _AT_ONCE]):
                told[request_id].append((number, RecordRow(as_told(cells))))
        return told

    def _told(self, request_ids: Sequence[str] | None) -> Iterator[tuple[Any, ...]]:
        where = "is not null" if request_ids is None else f"in ({_marks(request_ids)})"
        return self._rows(
            f"select request_id, line, {', '.join(RECORD_COLUMNS)} from l402_records "  # noqa: S608 - ours
            f"where request_id {where} order by request_id, observed_at_ms, line",
            request_ids or (),
        )

    def _diagnoses(self, request_ids: Sequence[str] | None) -> Iterator[Diagnosis]:
        where = "" if request_ids is None else f"where v.request_id in ({_marks(request_ids)}) "
        stories = self._rows(
            f"select v.rule, s.{', s.'.join(_STORY)} from request_verdicts v "  # noqa: S608 - ours
            f"join request_story s on s.request_id = v.request_id {where}order by v.request_id",
            request_ids or (),
        )
        n_unattributable = self.n_unattributable
        told = groupby(self._told(request_ids), key=lambda row: row[0])
        name, records = next(told, (None, iter(())))
        for rule, *cells in stories:
            story = dict(zip(_STORY, cells, strict=True))
            mine: Iterator[tuple[Any, ...]] = iter(())
            # Who is named only by a flow, or by records that are broken, is in no valid one.
            if name == story["request_id"]:
                mine = (row[1:] for row in records)
            yield concluded(story, rule, mine, n_unattributable)
            if name == story["request_id"]:
                name, records = next(told, (None, iter(())))


def _marks(values: Sequence[object]) -> str:
    return ", ".join("?" * len(values))


_HIT: Final = REQUIRED_KEYS.index("cacheHit")


def as_told(cells: Sequence[Any]) -> tuple[Any, ...]:
    """The values of a record as the contract has them: SQLite knows no true and false."""
    hit = cells[_HIT]
    return tuple(cells) if hit is None else (*cells[:_HIT], bool(hit), *cells[_HIT + 1 :])
