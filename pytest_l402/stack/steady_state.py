"""Whether the stack is fit for work: reachable, asking its price, with nothing left over."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

import httpx

from pytest_l402.harness.harness import Harness
from pytest_l402.harness.journal import Row
from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.ops.reconcile.gateway_probes import GatewayProbes
from pytest_l402.stack.control.paywalls import Paywall

When = Literal["before", "after"]
REQUEST_ID_PREFIX = "steady-state:"
WHO_TELLS = f"{REQUEST_ID_PREFIX}who-tells"
"""The request by which a gateway is asked whether it tells the platform what it does."""
_LOG = f" oa_req={REQUEST_ID_PREFIX}"

Found = Iterator[tuple[str, str | None]]
"""What was asked, and what is wrong with the answer: None when all is well."""


def is_of_steady_state(row: Mapping[str, Any]) -> bool:
    """Return whether a row of evidence was left by a look at the steady state."""
    named = (str(row.get(key) or "") for key in ("requestId", "during"))
    return any(name.startswith(REQUEST_ID_PREFIX) for name in named) or _LOG in str(row.get("line") or "")


def steady_rows(when: When, *found: Found) -> list[Row]:
    """Return one row for each thing that was asked."""
    return [
        {"when": when, "probe": name, "ok": detail is None, "detail": detail or "ok"}
        for asked in found
        for name, detail in asked
    ]


def reachable(
    when: When, client: httpx.Client, paywalls: Iterable[Paywall], free_paths: Iterable[str]
) -> Found:
    """Ask the gateway at paywalls and at free paths, which moves no money."""
    request_id = f"{REQUEST_ID_PREFIX}{when}"
    for paywall in paywalls:
        probes = GatewayProbes(client, paywall.path, paywall.price_msats, request_id)
        yield "gateway_health", probes.health()
        challenge = probes.challenge()
        yield "gateway_challenge", challenge if isinstance(challenge, str) else None
    for path in free_paths:
        yield "seller_api", _status(client, path, request_id)


def _status(client: httpx.Client, path: str, request_id: str) -> str | None:
    try:
        response = client.get(path, headers={REQUEST_ID_HEADER: request_id})
    except httpx.RequestError as error:
        return f"unreachable_{type(error).__name__}"
    return None if response.is_success else f"status_{response.status_code}"


def left_over(harness: Harness, parts: Mapping[str, object]) -> Found:
    """Ask harness and parts, by role, what is left of a drill; a part of somebody else what it can answer."""
    yield "faults", _listed(entry.fault.name for entry in harness.faults.residue())
    yield "hosts", _listed(harness.network.hosts_down())
    for name, role, question, judge in _QUESTIONS:
        answer = getattr(parts[role], question, None)
        # A part that cannot answer has nothing of ours left over.
        yield name, None if answer is None else judge(answer)


def _listed(names: Iterable[str]) -> str | None:
    return ", ".join(names) or None


_QUESTIONS: tuple[tuple[str, str, str, Callable[[Any], str | None]], ...] = (
    ("global_pause", "control_plane", "global_pause", lambda ask: "active" if ask() else None),
    ("owner_kill_switches", "control_plane", "security_state", lambda ask: _listed(ask().killed_owners)),
    ("credential_roles", "control_plane", "roles_out_of_service", lambda ask: _listed(ask())),
    (
        "tasks",
        "control_plane",
        "tasks",
        lambda ask: _listed(task.task_id for task in ask() if task.is_pending),
    ),
    ("payments", "wallet", "pending", lambda ask: _listed(digits[:16] for digits in ask())),
    ("settlements", "settlement_store", "delayed", lambda ask: f"{ask()} held back" if ask() else None),
    ("executor", "executor", "is_running", lambda is_running: None if is_running else "stopped"),
)
