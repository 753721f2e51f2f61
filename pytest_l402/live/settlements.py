"""Decides what the deployed platform says was paid: its settlements, read and never written."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pytest_l402.boundary import digest_reference
from pytest_l402.contract import CamelDocument, proof_join_key
from pytest_l402.contract.scalars import Text
from pytest_l402.live.environment import SETTLEMENT_READ, ControlPlaneAccess, ControlPlaneForm
from pytest_l402.live.json_api import JsonApi
from pytest_l402.live.live_error import LiveError
from pytest_l402.live.reported import Number, reported, wrong_schema


class _Settlement(CamelDocument):
    settlement_id: Text
    paywall_id: Text
    owner_id: Text
    payment_proof_ref: Text
    invoice_id: Text | None = None
    payment_hash: Text | None = None
    request_id: Text | None = None
    task_id: Text | None = None
    route_id: Text | None = None
    amount_msats: Number
    occurred_at_ms: Number | None = None
    created_at_ms: Number | None = None


class _Settlements(CamelDocument):
    settlements: tuple[_Settlement, ...]


class LiveSettlements:
    """Settlements as the worker API lists them, with the credential of the role that may read them.

    Rows have the keys of the evidence table `settlements`; what the platform does not say is None, and of a
    proof that is no reference there is but a digest. A control plane in Convex's form has no such API.
    """

    def __init__(self, access: ControlPlaneAccess, api: JsonApi) -> None:
        self._access = access
        self._api = api

    def all(self) -> tuple[dict[str, Any], ...]:
        """Return the settlements of every paywall that the credential may see. Raises `LiveError`."""
        return self._read("/api/lightning/settlements")

    def of_paywall(self, paywall_id: str) -> tuple[dict[str, Any], ...]:
        """Return the settlements of one paywall. Raises `LiveError`."""
        return self._read(f"/api/lightning/paywalls/{quote(paywall_id, safe='')}/settlements")

    def _read(self, path: str) -> tuple[dict[str, Any], ...]:
        url = f"{self._access.url}{path}"
        where = self._api.where(url)
        if self._access.form is not ControlPlaneForm.API or self._access.settlement_read is None:
            missing = SETTLEMENT_READ if self._access.form is ControlPlaneForm.API else "the API form"
            raise LiveError(
                where,
                code="not_offered",
                expected="a control plane and a credential that let settlements be read",
                seen=f"{missing} missing",
                remedy=f"set {SETTLEMENT_READ} and OA_LIGHTNING_OPS_API_BASE_URL",
            )
        headers = {"Authorization": f"Bearer {self._access.settlement_read}"}
        answer = reported(where, _Settlements, self._api.read("GET", url, headers=headers))
        return tuple(_row(where, settlement) for settlement in answer.settlements)


def _row(where: str, settlement: _Settlement) -> dict[str, Any]:
    row = settlement.to_row()
    times = [row.pop("occurredAtMs"), row.pop("createdAtMs")]
    row["occurredAtMs"] = next((time for time in times if time is not None), None)
    if row["occurredAtMs"] is None:
        raise wrong_schema(where, "an integer from 0 to 2^53-1 under occurredAtMs or createdAtMs", row)
    if proof_join_key(settlement.payment_proof_ref) is None:
        # No reference: it may be the preimage itself.
        row["paymentProofRef"] = digest_reference(settlement.payment_proof_ref)
    return row
