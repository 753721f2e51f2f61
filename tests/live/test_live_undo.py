"""What counts as undone: a note stays until the platform is seen to be as it was, whatever it answers."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from served_platform import Platform

from pytest_l402.live import LiveError, LiveSystem

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
