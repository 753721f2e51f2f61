"""`smoke:settlement`: enter events into the books, and see that a contradiction is refused."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pytest_l402.commands.artifacts import ArtifactFolder
from pytest_l402.commands.options import Options, add_shared_arguments, read_options
from pytest_l402.commands.outcome import Outcome
from pytest_l402.commands.runner import carry_out

if TYPE_CHECKING:
    from pytest_l402.stack.books.store import SettlementStore

REQUEST_ID = "smoke:settlement"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add what the command takes."""
    add_shared_arguments(
        parser,
        "Enter a batch of settlement events: a payment, its replay, a late event, an expired invoice;\n"
        "then one that contradicts the books, which must be refused whole.\n"
        "Live: enters nothing, since it could not be taken out again; reads the settlements instead,\n"
        "and checks that each is told once, with its proof.",
    )


def run(given: argparse.Namespace) -> int:
    """Print the outcome and return the exit code."""
    return carry_out(given.command, lambda: _work(read_options(given)), as_json=given.json)


def _work(options: Options) -> Outcome:
    if options.mode.is_live:
        from pytest_l402.commands.live_settlements import settlements_live

        return settlements_live(options)
    from pytest_l402.commands.mock_stack import injected, mock_stack, read_faults

    faults = read_faults(options.faults)
    folder = ArtifactFolder(options.artifact_dir, "settlement", REQUEST_ID)
    with mock_stack() as stack, injected(stack, faults):
        document, failures = rehearse_books(stack.settlement_store)
        tables = stack.tables()
    for table in ("invoices", "settlements", "conflicts"):
        folder.lines(f"{table}Path", f"{table}.jsonl", tables.get(table, []))
    whole = {"ok": document.pop("ok"), "mode": options.mode.value, **document}
    return Outcome(folder.summary(whole), "; ".join(failures) or None)


def rehearse_books(store: SettlementStore) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Send the batches, and return what is printed and the codes of what does not hold."""
    from pytest_l402.ops.settlement.ingest import IngestRefused, ingest_settlements
    from pytest_l402.ops.settlement.smoke import smoke_events

    events = smoke_events()
    try:
        ingest = ingest_settlements(store, events, request_id=REQUEST_ID)
    except IngestRefused as refused:
        return refused.to_row(), (f"{refused.code}: {refused}",)
    failures = (
        [] if [item.existed for item in ingest.settlements] == [False, True] else ["replay_not_idempotent"]
    )
    invoices = {row["invoiceId"]: row["status"] for row in store.rows("invoices")}
    if invoices != {"inv_smoke_1": "settled", "inv_smoke_2": "expired"}:
        failures.append("invoice_status_wrong")
    settled = list(store.rows("settlements"))
    if [row["settlementId"] for row in settled] != ["set_smoke_1"]:
        failures.append("settlement_not_stored_once")
    refused_codes = _contradict(store, events[1])
    if not refused_codes:
        failures.append("conflict_not_refused")
    if list(store.rows("settlements")) != settled:
        failures.append("books_changed_by_refused_batch")
    row = ingest.to_row()
    document = {"ok": not failures, **{key: value for key, value in row.items() if key != "ok"}}
    document["conflict"] = {"refused": bool(refused_codes), "codes": list(refused_codes)}
    if failures:
        document |= {"failureCode": failures[0], "failures": failures}
    return document, tuple(failures)


def _contradict(store: SettlementStore, settled: Mapping[str, Any]) -> tuple[str, ...]:
    """Report the settlement again with another amount, after one that is new; return why it was refused."""
    from pytest_l402.ops.settlement.ingest import IngestRefused, ingest_settlements

    batch = (
        {
            "kind": "invoice_lifecycle",
            "occurredAtMs": settled["occurredAtMs"] + 900,
            "invoiceId": "inv_smoke_3",
            "paywallId": settled["paywallId"],
            "ownerId": settled["ownerId"],
            "amountMsats": settled["amountMsats"],
            "status": "open",
        },
        {**settled, "occurredAtMs": settled["occurredAtMs"] + 901, "amountMsats": settled["amountMsats"] + 1},
    )
    try:
        ingest_settlements(store, batch, request_id=f"{REQUEST_ID}:conflict")
    except IngestRefused as refused:
        return tuple(str(refusal.code) for refusal in refused.refusals)
    return ()
