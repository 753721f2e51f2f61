import pytest

from pytest_l402.evidence import Evidence, Mutant
from pytest_l402.evidence.mutants import (
    alterations,
    change_proof,
    changed_rows,
    drop_key,
    duplicate_row,
    insert_row,
    null_value,
    other_proof,
    remove_rows,
    set_value,
)

ROWS = [
    {
        "requestId": "a",
        "plane": "ui",
        "paymentProofRef": None,
        "n": 1,
        "deep": {"list": [{"x": 1}]},
        "atMs": 5,
    },
    {"requestId": "b", "plane": "ui", "paymentProofRef": "preimage:00ff", "n": 2, "observedAtMs": 5},
    {"requestId": "b", "plane": "ui", "paymentProofRef": "preimage:11ff", "n": 3, "observedAtMs": 5},
]
EVIDENCE = Evidence({"records": ROWS})


def _changed(mutant):
    before, after = EVIDENCE.table("records"), mutant.apply(EVIDENCE).table("records")
    assert list(before) == ROWS
    return [(i, new) for i, (old, new) in enumerate(zip(before, after, strict=True)) if old != new]


@pytest.mark.parametrize(
    ("mutant", "index", "key", "value"),
    [
        (set_value("records", "n", 9), 0, "n", 9),
        (set_value("records", "n", 9, {"requestId": "b"}), 1, "n", 9),
        (set_value("records", "n", lambda row: row["n"] + 1, lambda row: row["n"] == 3), 2, "n", 4),
        (null_value("records", "plane", {"n": 2}), 1, "plane", None),
        (change_proof(), 1, "paymentProofRef", "preimage:10ff"),
        (change_proof("records", {"n": 3}), 2, "paymentProofRef", "preimage:01ff"),
    ],
)
def test_one_value_of_the_first_match_changes(mutant, index, key, value):
    assert _changed(mutant) == [(index, {**ROWS[index], key: value})]


def test_every_match_changes_when_asked():
    assert [i for i, _ in _changed(set_value("records", "n", 9, {"requestId": "b"}, every=True))] == [1, 2]
    assert [i for i, _ in _changed(change_proof(every=True))] == [1, 2]


def test_a_match_that_does_not_change_is_passed_over():
    assert [i for i, _ in _changed(set_value("records", "n", 1))] == [1]


def test_keys_reach_into_rows():
    ((_, row),) = _changed(set_value("records", "deep.list.0.x", 2))
    assert row["deep"] == {"list": [{"x": 2}]}
    ((_, row),) = _changed(drop_key("records", "deep.list.0.x"))
    assert row["deep"] == {"list": [{}]}
    ((_, row),) = _changed(set_value("records", "deep.list.0", "gone"))
    assert row["deep"] == {"list": ["gone"]}


def test_a_path_that_leads_nowhere_changes_nothing():
    for key in ("n.x", "absent.x", "deep.list.7.x", "deep.list.z.x"):
        assert _changed(set_value("records", key, 1)) == []
        assert _changed(drop_key("records", key)) == []


def test_a_key_is_dropped_and_not_nulled():
    ((index, row),) = _changed(drop_key("records", "plane", {"n": 2}))
    assert index == 1
    assert "plane" not in row


def test_rows_go_come_and_double():
    gone = remove_rows("records", {"requestId": "b"}).apply(EVIDENCE)
    assert [row["n"] for row in gone.table("records")] == [1]
    double = duplicate_row("records", {"n": 2}, requestId="c").apply(EVIDENCE)
    assert double.table("records")[-1] == {**ROWS[1], "requestId": "c"}
    more = insert_row("payments", {"n": 1}).apply(EVIDENCE)
    assert more.table("payments") == ({"n": 1},)
    made = insert_row("records", lambda evidence: {"n": len(evidence.table("records"))}).apply(EVIDENCE)
    assert made.table("records")[-1] == {"n": 3}


@pytest.mark.parametrize(
    "mutant",
    [
        set_value("records", "n", 9, {"n": True}),
        set_value("absent", "n", 9),
        duplicate_row("records", {"n": 9}),
        insert_row("records", lambda evidence: None),
        change_proof("records", {"n": 1}),
    ],
)
def test_a_mutant_with_nothing_to_alter_leaves_the_evidence_equal(mutant):
    assert mutant.apply(EVIDENCE) == EVIDENCE or mutant.apply(EVIDENCE).only("records") == EVIDENCE


def test_another_proof_has_the_same_form_and_length():
    for proof in ("preimage:0011", "lightning_preimage:ff", "opaque"):
        other = other_proof(proof)
        assert other != proof
        assert (len(other), other.rpartition(":")[0]) == (len(proof), proof.rpartition(":")[0])


def test_names_say_what_was_altered_and_where():
    assert drop_key("records", "plane", {"n": 2}).name == "records: plane is missing where n=2"
    assert "twice with another amountMsats" in duplicate_row("payments", amountMsats=1).name


BEFORE = Evidence({"a": [{"x": 1, "y": {"z": [1, {"w": True}]}}, {"x": 2}], "b": [{"x": 1}]})


@pytest.mark.parametrize(
    ("mutant", "altered"),
    [
        (set_value("a", "x", 3), {("a", "x")}),
        (set_value("a", "x", True), {("a", "x")}),
        (set_value("a", "y.z", []), {("a", "y.z")}),
        (set_value("a", "y.z.1.w", 1), {("a", "y.z")}),
        (drop_key("a", "y"), {("a", "y")}),
        (set_value("a", "new", None), {("a", "new")}),
        (remove_rows("a", {"x": 2}), {("a", None)}),
        (insert_row("c", {"x": 1}), {("c", None)}),
        (set_value("a", "x", 2, {"x": 2}), set()),
        (
            Mutant("both", lambda e: remove_rows("b").apply(drop_key("a", "x").apply(e))),
            {("a", "x"), ("b", None)},
        ),
    ],
)
def test_what_a_mutant_altered_is_found_by_table_and_field(mutant, altered):
    assert set(alterations(changed_rows(BEFORE, mutant.apply(BEFORE)))) == altered


def test_a_mutant_declares_what_follows_from_it():
    mutant = remove_rows("a").concerning("b", "c.d.e").named("other words")
    assert (mutant.name, mutant.follows) == ("other words", (("b", None), ("c", "d.e")))
