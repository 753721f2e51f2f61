"""One seed gives one sequence per purpose; nothing else does."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.harness.randomness import SeededRandomness, SystemRandomness

SEEDS = st.one_of(st.integers(), st.text(max_size=20))


@given(SEEDS, st.lists(st.tuples(st.integers(0, 100), st.sampled_from("abc")), max_size=8))
def test_the_same_seed_and_calls_give_the_same_bytes(seed, calls):
    def run():
        source = SeededRandomness(seed)
        return [source.bytes(n, purpose) for n, purpose in calls]

    first = run()
    assert first == run()
    assert [len(drawn) for drawn in first] == [n for n, _ in calls]


def test_draws_for_one_purpose_leave_the_others_as_they_were():
    quiet, busy = SeededRandomness(1), SeededRandomness(1)
    busy.bytes(32, "other")
    assert quiet.bytes(32, "mine") == busy.bytes(32, "mine")


def test_no_two_draws_are_alike():
    source = SeededRandomness(1)
    drawn = [source.bytes(32, purpose) for purpose in ("a", "b") for _ in range(50)]
    drawn += [source.derive(label).bytes(32, "a") for label in ("x", "y")]
    drawn += [SeededRandomness(seed).bytes(32, "a") for seed in (2, "1", "2")]
    assert len(set(drawn)) == len(drawn)


def test_a_derived_source_depends_on_seed_and_label_only():
    busy = SeededRandomness("s")
    busy.bytes(5, "a")
    assert busy.derive("x").bytes(8, "p") == SeededRandomness("s").derive("x").bytes(8, "p")


@pytest.mark.parametrize("source", [SeededRandomness(3), SystemRandomness()])
def test_uuids_are_version_4(source):
    texts = [source.uuid("id") for _ in range(20)]
    assert {uuid.UUID(text).version for text in texts} == {4}
    assert len(set(texts)) == 20


def test_the_repr_does_not_tell_the_seed():
    assert "987654" not in repr(SeededRandomness(987654))


def test_a_negative_number_of_bytes_is_refused():
    with pytest.raises(ValueError, match="must be >= 0"):
        SeededRandomness(1).bytes(-1, "x")


def test_the_systems_randomness_does_not_repeat():
    source = SystemRandomness()
    assert source.bytes(32, "a") != source.derive("b").bytes(32, "a")
