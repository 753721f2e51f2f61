"""Decides whether the stack is fit for work: reachable, asking its price, with nothing left over."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

import httpx

from pytest_l402.harness.journal import Row
from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.ops.reconcile.gateway_probes import GatewayProbes

if TYPE_CHECKING:
    from pytest_l402.stack.stack import Stack

When = Literal["before", "after"]
REQUEST_ID_PREFIX = "steady-state:"


def steady_state(stack: Stack, when: When) -> list[Row]:
    """Return one row per probe, none of which moves money: what is measured stays as it was.

    A part that was replaced is asked only what it can answer.
    """
    found = (*_reachable(stack, f"{REQUEST_ID_PREFIX}{when}"), *_left_over(stack))
    return [
        {"when": when, "probe": probe, "ok": detail is None, "detail": detail or "ok"}
        for probe, detail in found
    ]


def _reachable(stack: Stack, request_id: str) -> Iterator[tuple[str, str | None]]:
    # One paywall and one free path stand for all: they share gateway, node and seller.
    for paywall in stack.paywalls[:1]:
        probes = GatewayProbes(stack.client, paywall.path, paywall.price_msats, request_id)
        yield "gateway_health", probes.health()
        challenge = probes.challenge()
        yield "gateway_challenge", challenge if isinstance(challenge, str) else None
    for path in stack.free_paths[:1]:
        yield "seller_api", _status(stack.client, path, request_id)


def _status(client: httpx.Client, path: str, request_id: str) -> str | None:
    try:
        response = client.get(path, headers={REQUEST_ID_HEADER: request_id})
    except httpx.RequestError as error:
        return f"unreachable_{type(error).__name__}"
    return None if response.is_success else f"status_{response.status_code}"


def _left_over(stack: Stack) -> Iterator[tuple[str, str | None]]:
    yield "faults", _listed(entry.fault.name for entry in stack.faults.residue())
    yield "hosts", _listed(stack.network.hosts_down())
    yield "global_pause", "active" if stack.control_plane.global_pause() else None
    yield from _asked(
        "owner_kill_switches", stack.control_plane, "security_state", lambda ask: _listed(ask().killed_owners)
    )
    yield from _asked(
        "credential_roles", stack.control_plane, "roles_out_of_service", lambda ask: _listed(ask())
    )
    yield from _asked(
        "tasks",
        stack.control_plane,
        "tasks",
        lambda ask: _listed(task.task_id for task in ask() if task.is_pending),
    )
    yield from _asked(
        "payments", stack.wallet, "pending", lambda ask: _listed(digits[:16] for digits in ask())
    )
    yield from _asked(
        "settlements",
        stack.settlement_store,
        "delayed",
        lambda ask: f"{ask()} held back" if ask() else None,
    )
    yield from _asked(
        "executor", stack.executor, "is_running", lambda is_running: None if is_running else "stopped"
    )


def _asked(
    probe: str, part: object, name: str, judge: Callable[[Any], str | None]
) -> Iterator[tuple[str, str | None]]:
    """Ask a part, if it can answer; a part of somebody else that cannot has nothing of ours left over."""
    answer = getattr(part, name, None)
    yield probe, None if answer is None else judge(answer)


def _listed(names: Iterator[str] | tuple[str, ...]) -> str | None:
    return ", ".join(names) or None
