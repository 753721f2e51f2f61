"""A fault is active inside its block, for whom it is meant, and never afterwards."""

from dataclasses import dataclass

import pytest

from pytest_l402.harness.faults import Fault, Faults
from pytest_l402.stack import faults as module
from pytest_l402.stack.faults import (
    AnswerLost,
    ChallengeAltered,
    CredentialRefused,
    DeployedChallengeWrong,
    DeployFailure,
    ExecutorStops,
    PaymentLate,
    PaymentSlow,
    UpstreamDown,
    UpstreamFailure,
)


def test_a_fault_is_active_only_inside_its_block():
    faults = Faults()
    with faults.inject(UpstreamDown()) as injected:
        assert faults.active(UpstreamDown) == UpstreamDown()
        assert faults.active(UpstreamFailure) is None
        assert faults.residue() == (injected,)
    assert faults.active(UpstreamDown) is None
    assert faults.residue() == ()
    assert faults.history() == (injected,)


def test_a_fault_is_removed_when_the_block_fails():
    faults = Faults()
    with pytest.raises(KeyError), faults.inject(UpstreamDown()):
        raise KeyError
    assert faults.residue() == ()


def test_a_fault_for_one_request_hits_that_request_only():
    faults = Faults()
    with faults.inject(UpstreamDown(), "req-1"):
        assert faults.active(UpstreamDown, "req-1")
        assert faults.active(UpstreamDown, "req-2") is None
        assert faults.active(UpstreamDown) is None


def test_the_fault_for_the_request_goes_before_the_one_for_all_and_the_youngest_first():
    faults = Faults()
    with (
        faults.inject(UpstreamFailure(500), "req-1"),
        faults.inject(UpstreamFailure(501)),
        faults.inject(UpstreamFailure(502)),
    ):
        assert faults.active(UpstreamFailure, "req-1") == UpstreamFailure(500)
        assert faults.active(UpstreamFailure, "req-2") == UpstreamFailure(502)


def test_the_same_fault_twice_is_removed_block_by_block():
    faults = Faults()
    with faults.inject(UpstreamDown()):
        with faults.inject(UpstreamDown()):
            assert len(faults.residue()) == 2
        assert faults.active(UpstreamDown)
    assert faults.residue() == ()


@pytest.mark.parametrize("nonsense", ["UpstreamDown", UpstreamDown, Fault()], ids=["text", "class", "bare"])
def test_only_named_faults_can_be_injected(nonsense):
    faults = Faults()
    with pytest.raises(TypeError, match="takes a fault"), faults.inject(nonsense):
        pass
    assert faults.history() == ()


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: UpstreamFailure(200), "error status"),
        (lambda: PaymentSlow(-1), "ms >= 0"),
        (lambda: AnswerLost("nowhere"), "after_settlement"),
        (lambda: AnswerLost("delivery", 0), "times >= 1"),
        (lambda: ChallengeAltered("painted"), "not_bound"),
        (lambda: CredentialRefused(403), "401 or 402"),
        (lambda: PaymentLate(0), "ms >= 1"),
        (lambda: ExecutorStops("never"), "before_payment"),
        (lambda: DeployFailure("never"), "too_late"),
        (lambda: DeployedChallengeWrong("never"), "open"),
    ],
)
def test_values_that_make_no_fault_are_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()


def test_every_fault_has_a_name_a_sentence_and_no_required_value():
    kinds = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Fault)]
    kinds.remove(Fault)
    assert len(kinds) == 31
    for kind in kinds:
        assert kind().name == kind.__name__
        assert kind.__doc__
        assert not kind.__doc__.startswith(kind.__name__)


def test_what_fired_is_noted_with_its_request_and_its_times():
    now_ms = iter([10, 20]).__next__
    faults = Faults(now_ms)
    with faults.inject(UpstreamFailure(500), "req-1") as injected:
        assert faults.active(UpstreamFailure, "req-2") is None
        assert injected.fired == 0
        for _ in range(2):
            assert faults.active(UpstreamFailure, "req-1")
    assert injected.to_row() == {
        "fault": "UpstreamFailure",
        "values": {"status": 500},
        "requestId": "req-1",
        "injectedAtMs": 10,
        "fired": 2,
        "firedFor": ["req-1"],
        "removedAtMs": 20,
    }


def test_who_asks_for_another_place_does_not_let_it_fire():
    faults = Faults()
    with faults.inject(ExecutorStops("after_payment")) as injected:
        assert faults.active(ExecutorStops, "req-1", when=lambda stops: stops.at == "before_payment") is None
        assert injected.fired == 0
        assert faults.active(ExecutorStops, "req-1", when=lambda stops: stops.at == "after_payment")
        assert injected.fired == 1


def test_a_fault_that_happens_once_lets_the_next_pass():
    @dataclass(frozen=True)
    class Once(Fault):
        @property
        def most(self):
            return 1

    faults = Faults()
    with faults.inject(Once()):
        assert faults.active(Once, "req-1")
        assert faults.active(Once, "req-2") is None


def test_who_watches_hears_of_faults_that_come_and_go():
    faults, heard = Faults(), []
    with faults.watched(lambda: heard.append(len(faults.residue()))), faults.inject(UpstreamDown()):
        pass
    with faults.inject(UpstreamDown()):
        pass
    assert heard == [1, 0]
