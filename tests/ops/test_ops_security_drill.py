"""The drill sees every control deny, or says which does not, and leaves nothing switched on."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_l402.evidence import Evidence, records_complete, run_check
from pytest_l402.harness.harness import Harness
from pytest_l402.ops.security.controls import GateDecision, SecurityState
from pytest_l402.ops.security.credentials import (
    CredentialCode,
    CredentialRole,
    CredentialValidationError,
    validate_credentials,
)
from pytest_l402.ops.security.drill import (
    DRILL_OWNER,
    DRILL_ROLE,
    PAUSE_REASON,
    SecurityDrillRefused,
    SecurityDrillResidue,
    run_security_drill,
)
from pytest_l402.ops.security.undo import NotUndone, Undo
from pytest_l402.stack import ControlPlane, Stack
from pytest_l402.stack.control.credential_roles import CredentialRoles


class Town:
    """A control plane and what it left."""

    def __init__(self) -> None:
        harness = Harness(1)
        self.clock, self.journal = harness.clock, harness.journal
        self.control = ControlPlane(harness)

    def is_quiet(self) -> bool:
        state = self.control.security_state()
        return not (state.global_pause or state.killed_owners or self.control.roles_out_of_service())


@pytest.fixture
def town() -> Town:
    return Town()


class Control:
    """The security half of a control plane of which single answers can be changed, and calls interrupted."""

    def __init__(self, real: ControlPlane, raise_at: dict[int, type[BaseException]] | None = None) -> None:
        self._real = real
        self._raise_at = raise_at or {}
        self.calls: list[str] = []
        self.credential_roles: Any = Counted(self, real.credential_roles)

    def called(self, name: str, when: str) -> None:
        """Count a call twice, before and after it is done, and be interrupted at the chosen number."""
        self.calls.append(f"{when} {name}")
        error = self._raise_at.get(len(self.calls))
        if error is not None:
            raise error("told to")

    def _do(self, name: str, *arguments: Any) -> Any:
        self.called(name, "before")
        answer = getattr(self._real, name)(*arguments)
        self.called(name, "after")
        return answer

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        self._do("set_global_pause", active, reason)

    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        self._do("set_owner_kill_switch", owner_id, active, reason)

    def security_state(self) -> SecurityState:
        state: SecurityState = self._do("security_state")
        return state

    def gate(
        self, request_id: str | None, owner_id: str | None, paywall_id: str | None, task_id: str | None = None
    ) -> GateDecision:
        decision: GateDecision = self._do("gate", request_id, owner_id, paywall_id, task_id)
        return decision


class Counted:
    """Credential roles whose calls the control plane counts."""

    def __init__(self, control: Control, real: CredentialRoles) -> None:
        self._control = control
        self._real = real

    def __getattr__(self, name: str) -> Any:
        def do(*arguments: Any, **named: Any) -> Any:
            self._control.called(name, "before")
            answer = getattr(self._real, name)(*arguments, **named)
            self._control.called(name, "after")
            return answer

        return do


# What it tells


def test_the_drill_gives_the_documented_answer(town: Town) -> None:
    row = run_security_drill(town.control).to_row()
    assert row == {
        "ok": True,
        "executionPath": "hosted-node",
        "failClosed": {
            "passed": True,
            "errorTag": "CredentialValidationError",
            "errorCode": "missing_credential_role",
            "role": "gateway_invoice",
            "field": "OA_LIGHTNING_OPS_CRED_GATEWAY_INVOICE",
        },
        "globalPause": {"allowed": False, "denyReasonCode": "global_pause_active"},
        "ownerKillSwitch": {"allowed": False, "denyReasonCode": "owner_kill_switch_active"},
        "recovery": {"allowed": True},
        "credentialLifecycle": {
            "rotatedVersion": 1,
            "revokedStatus": "revoked",
            "activatedStatus": "active",
            "activatedVersion": 2,
        },
        "statusSnapshot": {
            "globalPauseActive": False,
            "activeOwnerKillSwitches": 0,
            "credentialRoles": [{"role": "gateway_invoice", "status": "active", "version": 2}],
        },
    }
    assert list(row) == [
        "ok",
        "executionPath",
        "failClosed",
        "globalPause",
        "ownerKillSwitch",
        "recovery",
        "credentialLifecycle",
        "statusSnapshot",
    ]
    assert town.is_quiet()


def test_each_decision_has_a_request_and_a_record(town: Town) -> None:
    drill = run_security_drill(town.control, request_id="drill-1")
    told = [(row["requestId"], row["denyReason"]) for row in town.journal.rows("records")]
    assert told == [
        ("drill-1:global-pause", "global_pause_active"),
        ("drill-1:owner-kill-switch", "owner_kill_switch_active"),
        ("drill-1:recovery", None),
    ]
    assert tuple(request_id for request_id, _ in told) == drill.request_ids
    assert {row["userId"] for row in town.journal.rows("records")} == {DRILL_OWNER}
    assert not run_check(records_complete(), Evidence({"records": town.journal.rows("records")})).violations


def test_the_switches_are_switched_in_the_documented_order(town: Town) -> None:
    run_security_drill(town.control)
    assert [(row["kind"], row["active"]) for row in town.journal.rows("controls")] == [
        ("owner_kill_switch", True),
        ("global_pause", True),
        ("global_pause", False),
        ("owner_kill_switch", False),
    ]
    assert [row["operation"] for row in town.journal.rows("credential_roles")] == [
        "rotate",
        "revoke",
        "activate",
    ]


def test_it_can_be_drilled_again_and_again(town: Town) -> None:
    for number in (1, 2, 3):
        drill = run_security_drill(town.control)
        assert drill.ok, drill.failures
        assert drill.lifecycle.activated.version == 2 * number


def test_the_steady_state_of_a_stack_holds_after_the_drill_and_not_without_its_end() -> None:
    with Stack() as stack, stack.online():
        assert run_security_drill(stack.control_plane).ok
        rows = {row["probe"]: row for row in stack.steady_state("after")}
        assert all(row["ok"] for row in rows.values())
        stack.control_plane.credential_roles.revoke(DRILL_ROLE)
        (left,) = [row for row in stack.steady_state("after") if not row["ok"]]
        assert (left["probe"], left["detail"]) == ("credential_roles", "gateway_invoice revoked")
        assert len(stack.tables()["credential_roles"]) == 4


# What was there before


@pytest.mark.parametrize("status", ["activate", "rotate", "revoke"])
@pytest.mark.parametrize("fingerprint", [None, "fp_in_use"])
def test_a_role_in_use_is_left_as_it_was_found(town: Town, status: str, fingerprint: str | None) -> None:
    roles = town.control.credential_roles
    if status == "revoke":
        found = roles.revoke(DRILL_ROLE)
    else:
        found = getattr(roles, status)(DRILL_ROLE, fingerprint=fingerprint)
    drill = run_security_drill(town.control)
    now = roles.state(DRILL_ROLE)
    assert drill.ok, drill.failures
    assert now is not None
    assert (now.status, now.fingerprint) == (found.status, found.fingerprint)
    assert drill.to_row()["statusSnapshot"]["credentialRoles"] == [
        {"role": "gateway_invoice", "status": now.status.value, "version": now.version}
    ]


def test_other_owners_stay_stopped(town: Town) -> None:
    town.control.set_owner_kill_switch("owner_fraud", True)
    drill = run_security_drill(town.control)
    assert drill.ok
    assert drill.to_row()["statusSnapshot"]["activeOwnerKillSwitches"] == 1
    assert town.control.security_state().killed_owners == ("owner_fraud",)


@pytest.mark.parametrize(
    ("switch", "seen"),
    [
        (lambda control: control.set_global_pause(True, "incident 7"), "the global pause on"),
        (lambda control: control.set_owner_kill_switch(DRILL_OWNER, True), "the kill switch of owner_s"),
    ],
)  # fmt: skip
def test_nothing_is_touched_where_a_switch_is_on_already(
    town: Town, switch: Callable[[ControlPlane], None], seen: str
) -> None:
    switch(town.control)
    before = town.control.security_state(), len(town.journal.rows("controls"))
    with pytest.raises(SecurityDrillRefused, match=seen):
        run_security_drill(town.control)
    assert (town.control.security_state(), len(town.journal.rows("controls"))) == before
    assert town.journal.rows("credential_roles") == town.journal.rows("records") == ()


def test_a_pause_that_somebody_else_sets_meanwhile_stays(town: Town) -> None:
    class Busy(Control):
        def gate(self, request_id: str | None, *rest: Any) -> GateDecision:
            decision = super().gate(request_id, *rest)
            if "global-pause" in str(request_id):
                town.control.set_global_pause(True, "a real incident")
            return decision

    drill = run_security_drill(Busy(town.control))
    assert town.control.security_state().global_reason == "a real incident"
    assert town.control.security_state().killed_owners == ()
    assert set(drill.failures) == {
        "owner_kill_switch_not_enforced",
        "recovery_denied",
        "controls_not_restored",
    }


# What does not work


def gate_that(decision: GateDecision, for_request: str) -> type[Control]:
    class Wrong(Control):
        def gate(self, request_id: str | None, *rest: Any) -> GateDecision:
            right = super().gate(request_id, *rest)
            return decision if str(request_id).endswith(for_request) else right

    return Wrong


class BlindState(Control):
    """Says that nothing is on while something is."""

    def security_state(self) -> SecurityState:
        super().security_state()
        return SecurityState(False, None, ())


class PauseWithoutEffect(Control):
    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        pass


class KillWithoutEffect(Control):
    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        pass


@pytest.mark.parametrize(
    ("broken", "failures"),
    [
        (gate_that(GateDecision(True), "pause"), {"global_pause_not_enforced"}),
        (gate_that(GateDecision(False, "other"), "pause"), {"global_pause_not_enforced"}),
        (gate_that(GateDecision(True), "switch"), {"owner_kill_switch_not_enforced"}),
        (
            gate_that(GateDecision(False, "global_pause_active"), "switch"),
            {"owner_kill_switch_not_enforced"},
        ),
        (gate_that(GateDecision(False, "global_pause_active"), "recovery"), {"recovery_denied"}),
        (PauseWithoutEffect, {"security_state_not_switched", "global_pause_not_enforced"}),
        (KillWithoutEffect, {"security_state_not_switched", "owner_kill_switch_not_enforced"}),
    ],
)
def test_a_control_without_effect_is_told(town: Town, broken: type[Control], failures: set[str]) -> None:
    drill = run_security_drill(broken(town.control))
    assert set(drill.failures) == failures
    row = drill.to_row()
    assert (row["ok"], row["failureCode"]) == (False, drill.failures[0])
    assert row["failures"] == list(drill.failures)
    assert town.is_quiet()


def test_a_state_that_shows_nothing_is_told(town: Town) -> None:
    drill = run_security_drill(BlindState(town.control))
    assert drill.failures[0] == "security_state_not_switched"


@pytest.mark.parametrize("operation", ["rotate", "revoke", "activate"])
def test_a_role_operation_without_effect_is_told(town: Town, operation: str) -> None:
    town.control.credential_roles.activate(DRILL_ROLE, fingerprint="fp_in_use")
    control = Control(town.control)

    class Idle(Counted):
        def __getattr__(self, name: str) -> Any:
            if name == operation:
                return lambda role, **_: self._real.state(role)
            return super().__getattr__(name)

    control.credential_roles = Idle(control, town.control.credential_roles)
    drill = run_security_drill(control)
    assert drill.failures == ("credential_lifecycle_wrong",)
    assert town.is_quiet()
    now = town.control.credential_roles.state(DRILL_ROLE)
    assert now is not None
    assert now.fingerprint == "fp_in_use"
    revoked = [row["operation"] for row in town.journal.rows("credential_roles")].count("revoke")
    assert revoked == (1 if operation == "activate" else 0)
    if operation == "rotate":
        # What was not rotated must not be revoked: it is in use.
        assert drill.to_row()["credentialLifecycle"] == {
            "rotatedVersion": 1,
            "revokedStatus": None,
            "activatedStatus": None,
            "activatedVersion": None,
        }


def test_a_role_that_cannot_be_read_back_is_told(town: Town) -> None:
    control = Control(town.control)

    class Forgetful(Counted):
        def __getattr__(self, name: str) -> Any:
            if name == "state":
                return lambda role: None
            return super().__getattr__(name)

    control.credential_roles = Forgetful(control, town.control.credential_roles)
    assert "credential_lifecycle_wrong" in run_security_drill(control).failures


@pytest.mark.parametrize("operation", ["revoke", "activate"])
def test_an_operation_that_only_says_it_was_done_is_told(town: Town, operation: str) -> None:
    control = Control(town.control)

    class Boasting(Counted):
        def __getattr__(self, name: str) -> Any:
            if name != operation:
                return super().__getattr__(name)
            apart = CredentialRoles(Harness(clock=town.clock))
            apart.rotate(DRILL_ROLE)
            if operation == "activate":
                apart.revoke(DRILL_ROLE)
            return getattr(apart, operation)

    control.credential_roles = Boasting(control, town.control.credential_roles)
    drill = run_security_drill(control)
    assert drill.to_row()["credentialLifecycle"]["activatedVersion"] is not None
    assert drill.failures == ("credential_lifecycle_wrong",)
    assert town.is_quiet()


def accepts_everything(values: Any) -> None:
    return None


def refuses_everything(values: Any) -> None:
    raise CredentialValidationError(CredentialCode.MISSING, CredentialRole.GATEWAY_INVOICE, "anything")


def forgets_the_last_role(values: Any) -> object:
    return validate_credentials({**values, "operator_admin": "a" * 16})


def takes_short_ones(values: Any) -> object:
    return validate_credentials({role: value and "a" * 16 for role, value in values.items()})


@pytest.mark.parametrize(
    ("validate", "failures"),
    [
        (accepts_everything, ("credentials_not_fail_closed",)),
        (forgets_the_last_role, ("credentials_not_fail_closed",)),
        (takes_short_ones, ("credentials_not_fail_closed",)),
        (refuses_everything, ("credentials_not_fail_closed", "valid_credentials_refused")),
    ],
)
def test_a_validation_that_is_not_fail_closed_is_told(
    town: Town, validate: Callable[[Any], object], failures: tuple[str, ...]
) -> None:
    drill = run_security_drill(town.control, validate=validate)
    assert drill.failures == failures
    assert drill.to_row()["failClosed"]["passed"] is False


def test_without_an_error_only_passed_is_told(town: Town) -> None:
    drill = run_security_drill(town.control, validate=accepts_everything)
    assert drill.to_row()["failClosed"] == {"passed": False}


# How it ends


def number_of_calls() -> int:
    control = Control(Town().control)
    run_security_drill(control)
    return len(control.calls)


CALLS = number_of_calls()


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("place", range(1, CALLS + 1))
def test_interrupted_anywhere_it_leaves_nothing_switched_on(place: int, error: type[BaseException]) -> None:
    town = Town()
    control = Control(town.control, {place: error})
    with pytest.raises(error):
        run_security_drill(control)
    assert town.is_quiet()


@pytest.mark.parametrize("place", range(1, CALLS + 1))
def test_a_control_plane_that_fails_once_is_left_with_nothing_switched_on(place: int) -> None:
    town = Town()
    control = Control(town.control, {place: OSError})
    try:
        drill = run_security_drill(control)
    except OSError:
        pass
    else:
        # It failed while the drill took things back, and not again.
        assert drill.ok
        assert len(control.calls) > CALLS
    assert town.is_quiet()


@settings(max_examples=60)
@given(
    st.sets(st.integers(1, CALLS + 10), min_size=2, max_size=3),
    st.sampled_from(["none", "active", "revoked"]),
)
def test_interrupted_again_while_it_takes_things_back_it_goes_on(places: set[int], found: str) -> None:
    town = Town()
    roles = town.control.credential_roles
    if found != "none":
        roles.activate(DRILL_ROLE, fingerprint="fp_in_use")
    if found == "revoked":
        roles.revoke(DRILL_ROLE)
    before = roles.state(DRILL_ROLE)
    # Interrupts that follow on one another at once could outlast any number of attempts.
    ordered = sorted(places)
    apart = {
        place: KeyboardInterrupt
        for number, place in enumerate(ordered)
        if number == 0 or place - ordered[number - 1] > 8
    }
    control = Control(town.control, apart)
    with contextlib.suppress(KeyboardInterrupt):
        run_security_drill(control)
    state, now = town.control.security_state(), roles.state(DRILL_ROLE)
    assert not state.global_pause
    assert state.killed_owners == ()
    if before is not None:
        assert now is not None
        assert (now.status, now.fingerprint) == (before.status, before.fingerprint)


class StuckPause(Control):
    """Can be paused, and never resumes."""

    def set_global_pause(self, active: bool, reason: str | None = None) -> None:
        if active:
            super().set_global_pause(active, reason)


class StuckKill(Control):
    """Can be stopped, and never goes on."""

    def set_owner_kill_switch(self, owner_id: str, active: bool, reason: str | None = None) -> None:
        if active:
            super().set_owner_kill_switch(owner_id, active, reason)


class StuckRole(Control):
    """Fails as soon as the role was revoked, whatever is asked of it."""

    def __init__(self, real: ControlPlane) -> None:
        super().__init__(real)
        stuck = real.credential_roles

        class Stuck(Counted):
            def __getattr__(self, name: str) -> Any:
                if name in ("activate", "recover"):
                    return self.fail
                return super().__getattr__(name)

            def fail(self, *_: Any, **__: Any) -> None:
                raise OSError("control plane unreachable")

        self.credential_roles = Stuck(self, stuck)


@pytest.mark.parametrize(
    ("broken", "left"),
    [
        (StuckPause, "the global pause"),
        (StuckKill, "the owner kill switch"),
        (StuckRole, "the credential role"),
    ],
)
def test_what_cannot_be_taken_back_is_named_and_the_rest_is(
    town: Town, broken: type[Control], left: str
) -> None:
    with pytest.raises(SecurityDrillResidue, match=left) as error:
        run_security_drill(broken(town.control))
    assert error.value.left == (left,)
    assert error.value.code == "security_drill_residue"
    assert error.value.__cause__ is not None
    state = town.control.security_state()
    assert state.killed_owners == ((DRILL_OWNER,) if broken is StuckKill else ())
    assert state.global_pause is (broken is StuckPause)
    assert "by hand" in str(error.value)
    assert not state.global_pause or state.global_reason == PAUSE_REASON


# Taking back


def test_changes_are_taken_back_last_first() -> None:
    order: list[str] = []
    with Undo() as undo:
        undo.add("one", lambda: order.append("one"))
        undo.add("two", lambda: order.append("two"))
        assert order == []
    assert order == ["two", "one"]


def test_a_failure_is_tried_once_more_and_does_not_stop_the_others() -> None:
    tried: list[str] = []

    def fail(name: str, times: int) -> None:
        tried.append(name)
        if tried.count(name) <= times:
            raise OSError(name)

    undo = Undo()
    undo.add("fine", lambda: fail("fine", 0))
    undo.add("stuck", lambda: fail("stuck", 9))
    undo.add("shaky", lambda: fail("shaky", 1))
    with pytest.raises(NotUndone) as error, undo:
        pass
    assert error.value.left == ("stuck",)
    assert tried == ["shaky", "shaky", "stuck", "stuck", "fine"]
    assert isinstance(error.value.__cause__, OSError)


def test_what_was_raised_in_the_block_is_the_cause() -> None:
    def fail() -> None:
        raise OSError

    undo = Undo()
    undo.add("stuck", fail)
    with pytest.raises(NotUndone) as error, undo:
        raise KeyError("first")
    assert isinstance(error.value.__cause__, KeyError)


def test_an_interrupt_while_taking_back_is_raised_after_all() -> None:
    done: list[str] = []
    raised = iter([KeyboardInterrupt])

    def interrupted() -> None:
        for error in raised:
            raise error
        done.append("second")

    undo = Undo()
    undo.add("first", lambda: done.append("first"))
    undo.add("second", interrupted)
    with pytest.raises(KeyboardInterrupt), undo:
        pass
    assert done == ["second", "first"]
