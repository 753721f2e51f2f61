"""What counts as undone: a note stays until the platform is seen to be as it was, whatever it answers."""

import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from relay import Relay
from served_platform import START_S, Platform, run_client, started_client
from tiers import sampled

from pytest_l402.boundary.whole_files import write_document
from pytest_l402.live import LiveError, LiveSystem, change_notes
from pytest_l402.ops.reconcile.ports import ActiveDeployment
from pytest_l402.ops.reconcile.steps import Failpoint
from pytest_l402.ops.security.undo import Undo

SWITCHES: dict[str, Callable[[LiveSystem], None]] = {
    "pause": lambda live: live.security.set_global_pause(True, "drill"),
    "kill switch": lambda live: live.security.set_owner_kill_switch("owner_drilled", True, "drill"),
}


@pytest.mark.parametrize("switch_on", SWITCHES.values(), ids=SWITCHES.keys())
def test_a_switch_that_stays_on_although_the_platform_says_yes_is_not_forgotten(
    switch_on: Callable[[LiveSystem], None], platform: Platform, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agreed(function: str, arguments: Any, request_id: str = "") -> dict[str, Any]:
        return {"ok": True}

    def switch_on_for_good() -> None:
        with live:
            switch_on(live)
            monkeypatch.setattr(live.control_plane, "mutation", agreed)

    with platform.live(state) as live:
        before = live.security.security_state()
    live = platform.live(state, allow_changes=True)
    with pytest.raises(LiveError, match="keeps word of it") as caught:
        switch_on_for_good()
    assert caught.value.code == "not_undone"
    assert live.notes.path.exists()
    with pytest.raises(LiveError) as refused, platform.live(state):
        pass
    assert refused.value.code == "leftovers"
    with platform.live(state, allow_changes=True) as live:
        assert live.security.security_state() == before
    assert not live.notes.path.exists()


def test_another_image_of_the_same_configuration_is_brought_back_too(platform: Platform, state: Path) -> None:
    with platform.live(state, allow_changes=True) as live:
        assert live.reconcile("kept").ok
        before = live.gateway.active(request_id="before")
        assert before is not None
        other = f"sha256:{'7' * 64}"
        assert live.reconcile("rehearsed", image_digest=other, keep=False).ok
        rehearsed = live.gateway.active(request_id="rehearsed")
        assert rehearsed is not None
        assert (rehearsed.config_hash, rehearsed.image_digest) == (before.config_hash, other)
    with platform.live(state) as live:
        after = live.gateway.active(request_id="after")
        assert after is not None
        assert (after.config_hash, after.image_digest) == (before.config_hash, before.image_digest)


@pytest.mark.parametrize("name", sampled(["SIGINT", "SIGTERM"], 0, "told intents"))
def test_a_signal_while_the_intent_is_told_leaves_nothing_unfinished(
    name: str, platform: Platform, state: Path
) -> None:
    clients: list[int] = []
    relay = Relay(
        platform.told["controlPlaneUrl"],
        lambda _, body: b'"status":"pending"' in body,
        "after",
        lambda: os.kill(clients[0], signal.Signals[name]),
    )
    with relay.running():
        environment = {"OA_LIGHTNING_OPS_API_BASE_URL": relay.url}
        with started_client(platform, state, "reconcile", "told", **environment) as client:
            clients.append(client.pid)
            out, err = client.communicate(timeout=START_S)
        assert (client.returncode, out) == (128 + signal.Signals[name], ""), err
        with platform.live(state, **environment) as live:
            assert live.history.open_intents() == ()
    told = [row["status"] for row in platform.told_of("dep_reconcile_told")]
    # At least once: the answer to the first was lost with the signal.
    assert list(dict.fromkeys(told)) == ["pending", "failed"]
    assert all(row["path"] != "/ops/deploy" for row in platform.changes())


def test_an_interrupt_while_a_note_is_written_leaves_no_note(
    platform: Platform, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note is on the disk, and the run does not get to know it."""

    def interrupted(path: Path, document: Mapping[str, Any]) -> Path:
        monkeypatch.undo()
        write_document(path, document)
        raise KeyboardInterrupt

    live = platform.live(state, allow_changes=True)

    def pause() -> None:
        with live:
            monkeypatch.setattr(change_notes, "write_document", interrupted)
            live.security.set_global_pause(True, "drill")

    with pytest.raises(KeyboardInterrupt):
        pause()
    assert not live.notes.path.exists()
    assert platform.changes() == []


def test_a_first_signal_as_the_undo_begins_does_not_keep_it_from_being_done(
    platform: Platform, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        monkeypatch.undo()
        raise KeyboardInterrupt

    live = platform.live(state, allow_changes=True)

    def pause() -> None:
        with live:
            live.security.set_global_pause(True, "drill")
            monkeypatch.setattr(Undo, "__enter__", interrupted)

    with pytest.raises(KeyboardInterrupt):
        pause()
    assert not live.notes.path.exists()
    with platform.live(state) as after:
        assert not after.security.security_state().global_pause


def test_a_rollback_that_only_says_it_was_done_is_not_forgotten(
    platform: Platform, state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def agreed(*, request_id: str, deployment_id: str, target: ActiveDeployment) -> ActiveDeployment:
        return target

    live = platform.live(state, allow_changes=True)

    def rehearse() -> None:
        with live:
            assert live.reconcile("rehearsed", keep=False).ok
            monkeypatch.setattr(live.gateway, "rollback", agreed)

    with pytest.raises(LiveError, match="still_deployed") as caught:
        rehearse()
    assert caught.value.code == "not_undone"
    assert live.notes.path.exists()


def test_a_pause_that_somebody_else_has_set_meanwhile_stays(platform: Platform, state: Path) -> None:
    with platform.live(state, allow_changes=True) as live:
        live.security.set_global_pause(True, "drill")
        live.control_plane.mutation(
            "lightning/security:setGlobalPause", {"active": True, "reason": "an incident"}
        )
    assert not live.notes.path.exists()
    with platform.live(state) as after:
        assert after.security.security_state().global_reason == "an incident"


@pytest.mark.slow
def test_a_terminal_that_is_closed_undoes_as_any_signal_does(platform: Platform, state: Path) -> None:
    with platform.live(state) as live:
        before = live.gateway.active(request_id="before")
    cut = run_client(platform, state, "reconcile", "cut", Failpoint.APPLIED, "SIGHUP")
    assert cut.returncode == 128 + signal.SIGHUP, cut.stderr
    with platform.live(state) as live:
        after = live.gateway.active(request_id="after")
        assert before is not None
        assert after is not None
        assert after.config_hash == before.config_hash


def test_an_owner_is_denied_for_the_reason_that_the_platform_tells(platform: Platform, state: Path) -> None:
    with platform.live(state, allow_changes=True) as live:
        live.security.set_owner_kill_switch("owner_drilled", True, "an owner's incident")
        decided = live.security.gate("look", "owner_drilled", None)
        assert (decided.code, decided.reason) == ("owner_kill_switch_active", "an owner's incident")
        assert live.security.gate("look", "owner_premium", None).allowed
