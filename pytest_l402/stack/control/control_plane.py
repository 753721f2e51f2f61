"""Decides who may buy what: paywalls, security gate and tasks, with a record of every decision."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from pytest_l402.contract import ExecutionPath, Plane, Speaker, TaskStatus, is_allowed
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.journal import Journal
from pytest_l402.harness.observation import GATE_ENDPOINT, observation
from pytest_l402.harness.randomness import Randomness
from pytest_l402.ops.security.controls import GateDecision, SecurityState
from pytest_l402.stack.control.gate import SecurityGate
from pytest_l402.stack.control.paywalls import HOST_BLOCKED, Paywall, host_denial
from pytest_l402.stack.control.task_board import Actor, Task, TaskBoard

if TYPE_CHECKING:
    from pytest_l402.stack.control.credential_roles import CredentialRoles


class ControlPlane:
    """The control plane of one stack; thread-safe through the lock of whoever serves it."""

    def __init__(self, journal: Journal, clock: Clock, randomness: Randomness) -> None:
        self._journal = journal
        self._clock = clock
        self._randomness = randomness
        self._gate = SecurityGate(journal, clock)
        self._board = TaskBoard(journal, clock)
        self._paywalls: dict[str, Paywall] = {}

    # Paywalls

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

    # Security

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        """Pause every paywall, or resume."""
        self._gate.set_global_pause(active, reason)

    def global_pause(self) -> bool:
        """Return whether the global pause is on."""
        return self._gate.state().global_pause

    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        """Stop everything of one owner, or let it go on."""
        self._gate.set_owner_kill_switch(owner_id, active, reason)

    def security_state(self) -> SecurityState:
        """Return the switches as they stand."""
        return self._gate.state()

    @cached_property
    def credential_roles(self) -> CredentialRoles:
        """The credentials of the operating roles; every operation leaves a row in `credential_roles`."""
        # Imported here: who only sells and buys needs neither roles nor the compiler in the same room.
        from pytest_l402.stack.control.credential_roles import CredentialRoles

        return CredentialRoles(self._journal, self._clock)

    def roles_out_of_service(self) -> tuple[str, ...]:
        """Return the roles that are not active although something was done to them, with their status."""
        if "credential_roles" not in self.__dict__:
            return ()
        states = self.credential_roles.states()
        return tuple(
            f"{state.role.value} {state.status.value}" for state in states if state.status != "active"
        )

    def gate(
        self, request_id: str | None, owner_id: str | None, paywall_id: str | None, task_id: str | None = None
    ) -> GateDecision:
        """Decide whether the request may go on, and emit the record that says so.

        Codes: `global_pause_active` before `owner_kill_switch_active`.
        Source: runbook observability section 4.
        """
        decision = self._gate.decide(owner_id)
        self._emit_decision(
            decision.code,
            request_id=request_id,
            owner_id=owner_id,
            paywall_id=paywall_id,
            task_id=task_id,
            endpoint=GATE_ENDPOINT,
        )
        return decision

    # Tasks

    def create_task(
        self, request_id: str, owner_id: str, endpoint: str, max_spend_msats: int, host: str
    ) -> Task:
        """Register a purchase of `endpoint` for at most `max_spend_msats`.

        The task comes back `approved`; or `blocked`, with `last_error_code`, when the security gate or the
        hosts of the paywall deny it: nobody has asked the gateway for anything by then.
        """
        paywall = self.paywall_for(endpoint)
        paywall_id = None if paywall is None else paywall.paywall_id
        task_id = f"task_{self._randomness.uuid('task id')}"
        decision = self.gate(request_id, owner_id, paywall_id, task_id)
        code, reason = decision.code, decision.reason
        if decision.allowed and paywall is not None:
            code = host_denial(host, paywall.blocked_hosts, paywall.allowed_hosts)
            if code is not None:
                word = "blocks" if code == HOST_BLOCKED else "does not list"
                reason = f"Paywall {paywall.paywall_id} {word} the host {host}"
                self._emit_decision(
                    code,
                    request_id=request_id,
                    owner_id=owner_id,
                    paywall_id=paywall_id,
                    task_id=task_id,
                    endpoint=endpoint,
                    cap_msats=max_spend_msats,
                )
        return self._board.create(
            task_id=task_id,
            request_id=request_id,
            owner_id=owner_id,
            endpoint=endpoint,
            max_spend_msats=max_spend_msats,
            status=TaskStatus.APPROVED if code is None else TaskStatus.BLOCKED,
            reason_code=code,
            reason=reason,
        )

    def task(self, task_id: str) -> Task:
        """Return the task. Raises `UnknownTask`."""
        return self._board.task(task_id)

    def tasks(self, *, owner_id: str | None = None, status: TaskStatus | None = None) -> tuple[Task, ...]:
        """Return the tasks in order of creation, those of one owner or in one status if asked."""
        return self._board.tasks(owner_id=owner_id, status=status)

    def transition(
        self,
        task_id: str,
        to: TaskStatus,
        request_id: str,
        actor: Actor,
        reason_code: str | None = None,
        reason: str | None = None,
        *,
        desktop_session_id: str | None = None,
    ) -> Task:
        """Move a task along its graph and return it; a move to where it is already changes nothing.

        A task that becomes `blocked`, or that the system gives up, leaves a denial record under the request
        id of the purchase, so that one id finds the whole story.

        Raises:
            UnknownTask: no such task.
            InvalidTransition: the graph has no such step.
        """
        task, changed = self._board.transition(
            task_id,
            to,
            request_id=request_id,
            actor=actor,
            reason_code=reason_code,
            reason=reason,
            desktop_session_id=desktop_session_id,
        )
        given_up = to is TaskStatus.FAILED and actor == "system"
        if changed and (to is TaskStatus.BLOCKED or given_up):
            session = task.desktop_session_id
            if session is None:
                seen = self._board.presence_of(task)
                session = None if seen is None else seen.desktop_session_id
            paywall = self.paywall_for(task.endpoint)
            self._emit_decision(
                reason_code or to.value,
                request_id=task.request_id,
                owner_id=task.owner_id,
                paywall_id=None if paywall is None else paywall.paywall_id,
                task_id=task.task_id,
                endpoint=task.endpoint,
                cap_msats=task.max_spend_msats,
                desktop_session_id=session,
            )
        return task

    # Presence

    def heartbeat(self, desktop_session_id: str, status: str, owner_id: str | None = None) -> None:
        """Note that a desktop session is alive now; nobody says goodbye, silence does."""
        self._board.heartbeat(desktop_session_id, status, owner_id)

    def sweep(self) -> tuple[Task, ...]:
        """Give up the pending tasks that nobody will finish, and return them.

        A session not heard of for more than 10 000 ms, or never, is `desktop_executor_offline`; one that is
        there, but did not finish within 4 500 ms, `desktop_executor_timeout`. A task that was not paid yet
        becomes `blocked`, a paid one `failed`.
        """
        given_up = []
        for task, code in self._board.overdue():
            before_payment = is_allowed(task.status, TaskStatus.BLOCKED)
            given_up.append(
                self.transition(
                    task.task_id,
                    TaskStatus.BLOCKED if before_payment else TaskStatus.FAILED,
                    task.request_id,
                    "system",
                    code,
                    code.replace("_", " "),
                )
            )
        return tuple(given_up)

    def _emit_decision(
        self,
        code: str | None,
        *,
        request_id: str | None,
        owner_id: str | None,
        paywall_id: str | None,
        task_id: str | None,
        endpoint: str,
        cap_msats: int | None = None,
        desktop_session_id: str | None = None,
    ) -> None:
        local = desktop_session_id is not None
        self._journal.emit(
            observation(
                request_id=request_id or None,
                user_id=owner_id or None,
                paywall_id=paywall_id or None,
                task_id=task_id or None,
                endpoint=endpoint,
                cap_applied_msats=cap_msats,
                deny_reason=code,
                executor=Speaker.SYSTEM,
                plane=Plane.CONTROL,
                execution_path=ExecutionPath.LOCAL_NODE if local else ExecutionPath.HOSTED_NODE,
                desktop_session_id=desktop_session_id,
                observed_at_ms=self._clock.tick(),
            )
        )
        if request_id:
            self._journal.log(Plane.CONTROL, request_id, f"decision={code or 'allowed'} endpoint={endpoint}")
