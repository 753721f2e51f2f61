"""Evidence and what is concluded from it: tables of rows, and checks with teeth."""

from pytest_l402.evidence.check import Check, Finding, Subject
from pytest_l402.evidence.checks.challenged import one_challenge_an_invoice
from pytest_l402.evidence.checks.delivered import delivered_as_paid
from pytest_l402.evidence.checks.deployments import (
    deployment_persisted,
    events_persisted,
    gateway_challenged,
    gateway_delivered,
    reconcile_reported,
)
from pytest_l402.evidence.checks.expected_faults import every_fault_fired
from pytest_l402.evidence.checks.forgeries import forgeries_refused, opened_in_no_other_way
from pytest_l402.evidence.checks.full_flow import (
    artifacts_written,
    paid_and_denied_present,
    parity_keys_present,
    probes_ok,
    summary_ok,
)
from pytest_l402.evidence.checks.incidents import (
    recovered,
    steady_state_restored,
    success_despite,
    triaged_as,
)
from pytest_l402.evidence.checks.joins import (
    found_in_logs,
    proof_absent,
    proof_differs,
    proof_join,
    response_header_joins,
    task_settlement_join,
    ui_join,
)
from pytest_l402.evidence.checks.known_facts import records_in_time, records_tell_what_is_known
from pytest_l402.evidence.checks.local_node import (
    artifact_lacks,
    artifact_shows,
    local_artifact_join,
    local_parity,
    reference_artifact_holds,
)
from pytest_l402.evidence.checks.money import money_agrees
from pytest_l402.evidence.checks.offered import sold_as_listed
from pytest_l402.evidence.checks.one_story import one_story
from pytest_l402.evidence.checks.payments import (
    denied_before_payment,
    nothing_reached,
    paid_exactly_once,
    paid_nothing,
    payments_agree,
)
from pytest_l402.evidence.checks.planes import planes_agree, record_checks
from pytest_l402.evidence.checks.purchases import paid_as_challenged, purchases_cost_one_payment
from pytest_l402.evidence.checks.reconciled import (
    deployments_told_alike,
    events_told_alike,
    every_route_probed,
)
from pytest_l402.evidence.checks.records import (
    denial_recorded,
    no_record,
    records_complete,
    same_value,
    some_record,
    values_listed,
)
from pytest_l402.evidence.checks.recovery import delivered_for_one_payment, paid_nothing_meanwhile
from pytest_l402.evidence.checks.results import no_row, result_shows, same_in_every_row, some_row
from pytest_l402.evidence.checks.reuse import (
    cached_request,
    idempotent_replay,
    no_second_payment,
    not_reused,
    settlement_conflict,
)
from pytest_l402.evidence.checks.rows_in_order import rows_in_order
from pytest_l402.evidence.checks.shown import replays_told_apart
from pytest_l402.evidence.judging import run_check
from pytest_l402.evidence.mutants import Mutant
from pytest_l402.evidence.parts import Part, merged, own_digest, parts_of
from pytest_l402.evidence.recipe import described
from pytest_l402.evidence.system import System
from pytest_l402.evidence.tables import Evidence, EvidenceError, Row

__all__ = [
    "Check",
    "Evidence",
    "EvidenceError",
    "Finding",
    "Mutant",
    "Part",
    "Row",
    "Subject",
    "System",
    "artifact_lacks",
    "artifact_shows",
    "artifacts_written",
    "cached_request",
    "delivered_as_paid",
    "delivered_for_one_payment",
    "denial_recorded",
    "denied_before_payment",
    "deployment_persisted",
    "deployments_told_alike",
    "described",
    "events_persisted",
    "events_told_alike",
    "every_fault_fired",
    "every_route_probed",
    "forgeries_refused",
    "found_in_logs",
    "gateway_challenged",
    "gateway_delivered",
    "idempotent_replay",
    "local_artifact_join",
    "local_parity",
    "merged",
    "money_agrees",
    "no_record",
    "no_row",
    "no_second_payment",
    "not_reused",
    "nothing_reached",
    "one_challenge_an_invoice",
    "one_story",
    "opened_in_no_other_way",
    "own_digest",
    "paid_and_denied_present",
    "paid_as_challenged",
    "paid_exactly_once",
    "paid_nothing",
    "paid_nothing_meanwhile",
    "parity_keys_present",
    "parts_of",
    "payments_agree",
    "planes_agree",
    "probes_ok",
    "proof_absent",
    "proof_differs",
    "proof_join",
    "purchases_cost_one_payment",
    "reconcile_reported",
    "record_checks",
    "records_complete",
    "records_in_time",
    "records_tell_what_is_known",
    "recovered",
    "reference_artifact_holds",
    "replays_told_apart",
    "response_header_joins",
    "result_shows",
    "rows_in_order",
    "run_check",
    "same_in_every_row",
    "same_value",
    "settlement_conflict",
    "sold_as_listed",
    "some_record",
    "some_row",
    "steady_state_restored",
    "success_despite",
    "summary_ok",
    "task_settlement_join",
    "triaged_as",
    "ui_join",
    "values_listed",
]
