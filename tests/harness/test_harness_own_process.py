"""Objects of another process are asked as if they were here, and what is secret there is secret here."""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from pytest_l402.boundary import known_secrets, redact_text
from pytest_l402.boundary.known_secrets import ISSUED
from pytest_l402.harness.clock import StackClock
from pytest_l402.harness.faults import Fault, Faults, InjectedFault
from pytest_l402.harness.handles import Handle
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.line import LineLost
from pytest_l402.harness.network import Network, NetworkUnreachable, Request
from pytest_l402.harness.own_process import OwnProcess, where_it_lives
from pytest_l402.protocol import Preimage
from pytest_l402.stack.faults import GatewayDown, UpstreamFailure


@pytest.fixture(scope="module")
def process() -> Iterator[OwnProcess]:
    with OwnProcess() as opened:
        yield opened


class MineError(Exception):
    """Of no package: the other process does not know it."""


@dataclass
class Asked:
    """Something of the test, that the other process asks."""

    count: int = 0
    seen: list[object] = field(default_factory=list)

    def handle(self, request: Request) -> object:
        self.count += 1
        self.seen.append(request)
        raise MineError("of the test")


def test_an_object_is_asked_where_it_lives(process: OwnProcess) -> None:
    clock = process.run(StackClock, 1_000)
    assert type(clock) is Handle
    assert isinstance(clock, StackClock)
    assert (clock.now_ms(), clock.advance(5), clock.tick()) == (1_000, 1_005, 1_006)
    assert where_it_lives(StackClock.now_ms, clock) == 1_006
    assert "StackClock of another process" in repr(clock)


def test_what_is_raised_there_is_raised_here(process: OwnProcess) -> None:
    clock = process.run(StackClock, 1_000)
    with pytest.raises(ValueError, match="only moves forward") as raised:
        clock.advance(-1)
    assert "raised in another process, in advance" in raised.value.__notes__[0]
    network = process.run(Network)
    with pytest.raises(NetworkUnreachable) as unreachable:
        network.dispatch(Request("GET", "nobody.test"))
    assert (unreachable.value.host, unreachable.value.reason[:12]) == ("nobody.test", "no such host")


def test_an_object_is_the_same_each_time(process: OwnProcess) -> None:
    harness = process.run(Harness, 402)
    assert harness.journal is harness.journal
    harness.journal.append("rows", {"one": None, "path": {"two": (1, 2)}})
    assert harness.journal.rows("rows") == ({"one": None, "path": {"two": (1, 2)}},)


def test_a_block_ends_there_as_it_ends_here(process: OwnProcess) -> None:
    faults: Faults = process.run(Faults)
    with suppress(MineError), faults.inject(UpstreamFailure(503)) as injected:
        assert isinstance(injected, InjectedFault)
        assert faults.active(UpstreamFailure) == UpstreamFailure(503)
        assert injected.fired == 1
        raise MineError
    assert faults.residue() == ()
    with pytest.raises(TypeError, match="takes a fault"), faults.inject(Fault()):
        pass


def test_a_method_of_the_test_is_asked_while_the_test_waits(process: OwnProcess) -> None:
    told: list[int] = []
    faults = process.run(Faults, lambda: len(told))
    with faults.watched(lambda: told.append(1)), faults.inject(GatewayDown()):
        pass
    assert told == [1, 1]
    assert [entry.removed_at_ms for entry in faults.history()] == [1]


def test_an_exception_of_the_test_comes_back_as_it_was(process: OwnProcess) -> None:
    network, mine = process.run(Network), Asked()
    network.mount("mine.test", mine)
    with pytest.raises(MineError, match="of the test"):
        network.dispatch(Request("GET", "mine.test"))
    assert mine.count == 1


def test_who_is_not_waited_for_cannot_be_asked(process: OwnProcess) -> None:
    """A request may come while the interpreter is held: nothing of the test's may be needed to answer it."""
    harness = process.run(Harness, 402)
    harness.network.mount("mine.test", Asked())
    with pytest.raises(RuntimeError) as raised, harness.serving("mine.test") as (url,):
        assert httpx.get(url).status_code == 500
    assert "put nothing of the test in there" in str(raised.value.__cause__)


def test_secrets_of_the_other_process_are_known_before_anything_is_written(process: OwnProcess) -> None:
    preimage = Preimage(secrets.token_bytes(32))
    assert preimage.hex() in redact_text(f"{preimage.hex()} was seen")
    there = process.run(importlib.import_module, known_secrets.__name__)
    there.ISSUED.note_digest(preimage.payment_hash.to_bytes())
    assert preimage.hex() not in redact_text(f"{preimage.hex()} was seen")


def test_a_file_of_the_tests_takes_no_module_of_python_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise ImportError('of the tests')")
    monkeypatch.syspath_prepend(str(tmp_path))
    with OwnProcess() as own:
        assert own.run(StackClock, 1_000).now_ms() == 1_000


def test_a_process_that_is_gone_is_told_as_such() -> None:
    with OwnProcess() as own:
        clock = own.run(StackClock)
        own._process.sigkill()
        with pytest.raises(LineLost, match="saw signal SIGKILL") as raised:
            clock.now_ms()
        assert "run the test again" in str(raised.value)
        assert not own.runs
        assert redact_text("still told") == "still told"
    assert own._line.hear_of_secrets not in ISSUED.sources
