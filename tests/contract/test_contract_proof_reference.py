import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.contract import hosted_proof_reference, local_proof_reference, proof_join_key

PREIMAGES = st.binary(min_size=32, max_size=32).map(bytes.hex)


def test_forms_of_the_original_tools():
    assert hosted_proof_reference("a" * 64) == "lightning_preimage:" + "a" * 24
    preimage = "000577509e3cf1013c746ab2daabe46378e35e14171ad7c5b55251765389cb27"
    assert local_proof_reference(preimage) == "preimage:000577509e3cf101"


@given(PREIMAGES, PREIMAGES)
def test_forms_join_exactly_when_they_are_of_one_payment(one, other):
    hosted, local = hosted_proof_reference(one.upper()), local_proof_reference(one)
    assert proof_join_key(hosted) == proof_join_key(local) == one[:16]
    assert (proof_join_key(local_proof_reference(other)) == proof_join_key(hosted)) == (
        other[:16] == one[:16]
    )


@pytest.mark.parametrize(
    "reference",
    [
        None,
        "",
        "a" * 16,
        "preimage:" + "a" * 15,
        "preimage:" + "a" * 17,
        "preimage:" + "A" * 16,
        "preimage:" + "a" * 64,
        "lightning_preimage:" + "a" * 16,
        "lightning_preimage:" + "a" * 24 + "\n",
        "x" + "preimage:" + "a" * 16,
    ],
)
def test_other_texts_join_nothing(reference):
    assert proof_join_key(reference) is None


@pytest.mark.parametrize("preimage", ["", "ab", "g" * 64, "a" * 63, "a" * 65, "a" * 64 + "\n"])
def test_only_a_whole_preimage_is_referred_to(preimage):
    for make in (hosted_proof_reference, local_proof_reference):
        with pytest.raises(ValueError, match="64 hex digits") as caught:
            make(preimage)
        assert preimage == "" or preimage not in str(caught.value)
