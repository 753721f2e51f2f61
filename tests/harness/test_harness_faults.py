"""A fault is active inside its block, for whom it is meant, and never afterwards."""

import pytest

from pytest_l402.harness.faults import Fault, Faults
from pytest_l402.stack import faults as module
from pytest_l402.stack.faults import (
    DeployedChallengeWrong,
    DeployFailure,
    ExecutorStops,
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
        (lambda: PaymentSlow(-1), "milliseconds"),
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
    assert len(kinds) == 24
    for kind in kinds:
        assert kind().name == kind.__name__
        assert kind.__doc__
        assert not kind.__doc__.startswith(kind.__name__)
