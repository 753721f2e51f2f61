"""Who may buy what: paywalls, security gate and tasks, with a record of every decision."""

from __future__ import annotations

from typing import Unpack

from pytest_l402.contract import ExecutionPath, Plane, Speaker, TaskStatus
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.observation import GATE_ENDPOINT, Known, observe
from pytest_l402.ops.security.controls import (
    GLOBAL_PAUSE_ACTIVE,
    OWNER_KILL_SWITCH_ACTIVE,
    GateDecision,
    SecurityState,
)
from pytest_l402.stack.control.credential_roles import CredentialRoles
from pytest_l402.stack.control.paywalls import HOST_BLOCKED, Paywall, host_denial
from pytest_l402.stack.control.task_board import Task, TaskBoard

DEFAULT_PAUSE_REASON = "Global paywall pause is active"
DEFAULT_KILL_REASON = "Owner kill switch is active"


class SecurityGate:
    """The switches of the control plane; every change of one leaves a row in the table `controls`."""

    def __init__(self, harness: Harness) -> None:
        self._harness = harness
        self._pause_reason: str | None = None
        self._kill_reasons: dict[str, str] = {}

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        """Pause every paywall, or resume; a reason is kept only while the pause is on."""
        self._pause_reason = (reason or DEFAULT_PAUSE_REASON) if active else None
        self._note_switch("global_pause", None, active)

    def global_pause(self) -> bool:
        """Return whether the global pause is on."""
        return self._pause_reason is not None

    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        """Stop everything of one owner, or let it go on; a reason is kept only while the switch is on."""
        if active:
            self._kill_reasons[owner_id] = reason or DEFAULT_KILL_REASON
        else:
            self._kill_reasons.pop(owner_id, None)
        self._note_switch("owner_kill_switch", owner_id, active)

    def _decide(self, owner_id: str | None) -> GateDecision:
        """Return whether `owner_id` may go on. Source: runbook observability section 4."""
        if self._pause_reason is not None:
            return GateDecision(False, GLOBAL_PAUSE_ACTIVE, self._pause_reason)
        reason = self._kill_reasons.get(owner_id) if owner_id is not None else None
        if reason is not None:
            return GateDecision(False, OWNER_KILL_SWITCH_ACTIVE, reason)
        return GateDecision(True)

    def security_state(self) -> SecurityState:
        """Return the switches as they stand."""
        killed = tuple(sorted(self._kill_reasons))
        return SecurityState(
            self._pause_reason is not None, self._pause_reason, killed, dict(self._kill_reasons)
        )

    def _note_switch(self, kind: str, owner_id: str | None, active: bool) -> None:
        self._harness.note("controls", {"kind": kind, "ownerId": owner_id, "active": active})


class ControlPlane(TaskBoard, SecurityGate):
    """The control plane of one stack, with its switches, tasks and `credential_roles`.

    Thread-safe through the lock of whoever serves it.
    """

    def __init__(self, harness: Harness) -> None:
        SecurityGate.__init__(self, harness)
        TaskBoard.__init__(self, harness)
        self._paywalls: dict[str, Paywall] = {}
        self.credential_roles = CredentialRoles(harness)

    def roles_out_of_service(self) -> tuple[str, ...]:
        """Return the roles that are not active although something was done to them, with their status."""
        states = self.credential_roles.states()
        return tuple(
            f"{state.role.value} {state.status.value}" for state in states if state.status != "active"
        )

    def create_paywall(self, paywall: Paywall) -> bool:
        """Keep a paywall and return whether it is new; the same one again changes nothing.

        Raises:
            ValueError: the id is taken by a paywall with other values.
        """
        known = self._paywalls.get(paywall.paywall_id)
        if known is not None and known != paywall:
            raise ValueError(
                f"paywall {paywall.paywall_id} exists with other values; take another id or the same values"
            )
        self._paywalls[paywall.paywall_id] = paywall
        return known is None

    def paywall(self, paywall_id: str) -> Paywall | None:
        """Return the paywall, or None."""
        return self._paywalls.get(paywall_id)

    def paywalls(self) -> tuple[Paywall, ...]:
        """Return the paywalls in order of creation."""
        return tuple(self._paywalls.values())

    def paywall_for(self, endpoint: str) -> Paywall | None:
        """Return the first paywall that a path or URL is behind, or None."""
        return next((paywall for paywall in self._paywalls.values() if paywall.covers(endpoint)), None)

    def gate(
        self, request_id: str | None, owner_id: str | None, paywall_id: str | None, task_id: str | None = None
    ) -> GateDecision:
        """Decide whether the request may go on, and emit the record that says so.

        Codes: `global_pause_active` before `owner_kill_switch_active`.
        Source: runbook observability section 4.
        """
        decision = self._decide(owner_id)
        self._emit_decision(
            decision.code,
            request_id=request_id or None,
            user_id=owner_id or None,
            paywall_id=paywall_id or None,
            task_id=task_id or None,
            endpoint=GATE_ENDPOINT,
        )
        return decision

    def create_task(
        self, request_id: str, owner_id: str, endpoint: str, max_spend_msats: int, host: str
    ) -> Task:
        """Register a purchase of `endpoint` for at most `max_spend_msats`.

        The task comes back `approved`; or `blocked`, with `last_error_code`, when the security gate or the
        hosts of the paywall deny it: nobody has asked the gateway for anything by then.
        """
        paywall = self.paywall_for(endpoint)
        task_id = f"task_{self._harness.randomness.uuid('task id')}"
        decision = self.gate(request_id, owner_id, None if paywall is None else paywall.paywall_id, task_id)
        code, reason = decision.code, decision.reason
        if decision.allowed and paywall is not None:
            code = host_denial(host, paywall.blocked_hosts, paywall.allowed_hosts)
            if code is not None:
                word = "blocks" if code == HOST_BLOCKED else "does not list"
                reason = f"Paywall {paywall.paywall_id} {word} the host {host}"
                self._emit_decision(
                    code,
                    request_id=request_id or None,
                    user_id=owner_id or None,
                    paywall_id=paywall.paywall_id,
                    task_id=task_id,
                    endpoint=endpoint,
                    cap_applied_msats=max_spend_msats,
                )
        at_ms = self._harness.clock.tick()
        task = Task(
            task_id=task_id,
            status=TaskStatus.APPROVED if code is None else TaskStatus.BLOCKED,
            owner_id=owner_id,
            request_id=request_id,
            endpoint=endpoint,
            max_spend_msats=max_spend_msats,
            created_at_ms=at_ms,
            updated_at_ms=at_ms,
            last_error_code=code,
            last_error_reason=reason,
        )
        self._keep(task, None, "system", request_id, code, reason)
        return task

    def _tell_denied(self, task: Task, code: str) -> None:
        paywall, session = self.paywall_for(task.endpoint), self._session_of(task)
        self._emit_decision(
            code,
            ExecutionPath.HOSTED_NODE if session is None else ExecutionPath.LOCAL_NODE,
            request_id=task.request_id or None,
            user_id=task.owner_id or None,
            paywall_id=None if paywall is None else paywall.paywall_id,
            task_id=task.task_id,
            endpoint=task.endpoint,
            cap_applied_msats=task.max_spend_msats,
            desktop_session_id=session,
        )

    def _emit_decision(
        self, code: str | None, path: ExecutionPath = ExecutionPath.HOSTED_NODE, **known: Unpack[Known]
    ) -> None:
        known["deny_reason"] = code
        observe(self._harness, Plane.CONTROL, Speaker.SYSTEM, path, **known)
        request_id = known["request_id"]
        if request_id is not None:
            text = f"decision={code or 'allowed'} endpoint={known['endpoint']}"
            self._harness.journal.log(Plane.CONTROL, request_id, text)
