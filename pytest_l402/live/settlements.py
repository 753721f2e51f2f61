"""Decides what the deployed platform says was paid: its settlements, read and never written."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

from pytest_l402.boundary import digest_reference, quoted
from pytest_l402.boundary.strict_json import MAX_SAFE_INTEGER
from pytest_l402.contract import proof_join_key
from pytest_l402.live.control_plane import either
from pytest_l402.live.environment import SETTLEMENT_READ, ControlPlaneAccess, ControlPlaneForm
from pytest_l402.live.json_api import JsonApi
from pytest_l402.live.live_error import LiveError

_TEXTS: Final = ("settlementId", "paywallId", "ownerId", "paymentProofRef")
_OPTIONAL: Final = ("invoiceId", "paymentHash", "requestId", "taskId", "routeId")
_NUMBERS: Final = ("amountMsats",)
_TIMES: Final = ("occurredAtMs", "createdAtMs")
_HUMP: Final = re.compile(r"(?<=[a-z0-9])[A-Z]")


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
        answer = self._api.read("GET", url, headers=headers)
        rows = answer.get("settlements") if isinstance(answer, dict) else None
        if not isinstance(rows, list):
            raise _misshapen(where, "a list under settlements", answer)
        return tuple(_row(where, row) for row in rows)


def _row(where: str, value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _misshapen(where, "an object for each settlement", value)

    def found(key: str) -> Any:
        return either(value, key, _HUMP.sub(lambda hump: "_" + hump[0].lower(), key))

    row: dict[str, Any] = {}
    for key in (*_TEXTS, *_OPTIONAL):
        text = found(key)
        if not (isinstance(text, str) and text) and not (text is None and key in _OPTIONAL):
            raise _misshapen(where, f"text under {key}", text)
        row[key] = text
    if proof_join_key(row["paymentProofRef"]) is None:
        # No reference: it may be the preimage itself.
        row["paymentProofRef"] = digest_reference(row["paymentProofRef"])
    row["amountMsats"] = _integer(where, "amountMsats", found("amountMsats"))
    times = [found(key) for key in _TIMES if found(key) is not None]
    row["occurredAtMs"] = _integer(where, " or ".join(_TIMES), times[0] if times else None)
    return row


def _integer(where: str, key: str, value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    if not is_integer or not 0 <= value <= MAX_SAFE_INTEGER:  # type: ignore[operator]
        raise _misshapen(where, f"an integer from 0 to 2^53-1 under {key}", value)
    return value  # type: ignore[return-value]


def _misshapen(where: str, expected: str, seen: object) -> LiveError:
    return LiveError(
        where,
        code="wrong_schema",
        expected=expected,
        seen=quoted(type(seen).__name__),
        remedy="check the URL and the platform's version",
    )
