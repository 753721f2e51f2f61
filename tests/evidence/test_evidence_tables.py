import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_l402.evidence import Evidence, EvidenceError
from pytest_l402.evidence.kept import keep, read_kept

_SCALARS = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
)
_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3)
)
_TABLES = st.dictionaries(
    st.sampled_from(["records", "payments", "own_table"]),
    st.lists(st.dictionaries(st.text(), _VALUES, max_size=4), max_size=4),
)


def test_what_was_recorded_does_not_change_with_its_source():
    source = [{"requestId": "a", "nested": {"n": [1]}}]
    evidence = Evidence({"records": source})
    source[0]["requestId"] = "b"
    source[0]["nested"]["n"].append(2)
    source.append({})
    assert evidence.table("records") == ({"requestId": "a", "nested": {"n": [1]}},)


def test_a_table_nobody_recorded_has_no_rows():
    assert Evidence({}).table("payments") == ()
    assert Evidence({"payments": []}).names == ("payments",)


def test_with_table_leaves_the_other_evidence_alone():
    evidence = Evidence({"a": [{"x": 1}], "b": [{"y": 1}]})
    altered = evidence.with_table("a", [])
    assert (altered.table("a"), evidence.table("a")) == ((), ({"x": 1},))
    assert altered.only("b") == evidence.only("b")


@pytest.mark.parametrize(("left", "right"), [(True, 1), (1, 1.0), (0, False), ("1", 1), (None, 0)])
def test_values_that_python_calls_equal_are_other_evidence(left, right):
    assert Evidence({"a": [{"x": left}]}) != Evidence({"a": [{"x": right}]})


def test_equal_rows_in_another_table_or_order_are_other_evidence():
    assert Evidence({"a": [{"x": 1}]}) != Evidence({"b": [{"x": 1}]})
    assert Evidence({"a": [{"x": 1}, {"x": 2}]}) != Evidence({"a": [{"x": 2}, {"x": 1}]})
    assert Evidence({"a": [{"x": 1}]}) != Evidence({"a": [{"x": 1}, {"x": 1}]})
    assert Evidence({"a": []}) != object()


@pytest.mark.parametrize("name", ["", "Records", "../records", "a b", "a" * 65])
def test_a_table_name_is_a_file_name(name):
    with pytest.raises(EvidenceError, match="rename the table"):
        Evidence({name: []})


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), b"x", {1: 2}, object(), "\ud800", {"a": {b"b": 1}}]
)
def test_a_value_that_json_lacks_is_refused_without_being_shown(value):
    with pytest.raises(EvidenceError, match=r"^records\[1\]: expected .*, saw .*; ") as caught:
        Evidence({"records": [{}, {"secret": value}]})
    assert repr(value) not in str(caught.value)


def test_a_row_that_is_no_mapping_is_refused():
    with pytest.raises(EvidenceError, match="expected a row, saw list"):
        Evidence({"records": [[]]})


def test_the_repr_counts_and_shows_no_row():
    assert repr(Evidence({"payments": [{"preimage": "secret"}]})) == "Evidence(payments=1)"


def test_jsonl_keeps_key_order_and_text():
    evidence = Evidence({"a": [{"z": 1, "a": "é\n\u2028"}, {}]})
    assert evidence.jsonl("a") == '{"z":1,"a":"é\\n\u2028"}\n{}\n'.encode()
    assert list(evidence) == ["a"]


@settings(max_examples=25)
@given(tables=_TABLES)
def test_written_evidence_reads_back_as_it_was(tmp_path_factory, tables):
    evidence = Evidence(tables)
    if not evidence.names:
        return
    folder = tmp_path_factory.mktemp("evidence")
    files, _ = keep(evidence, {}, folder)
    read = read_kept(folder, [file.path.name for file in files])
    assert {name: read.jsonl(name) for name in read} == {name: evidence.jsonl(name) for name in evidence}
    assert {file.path.stem: file.rows for file in files} == {
        n: len(evidence.table(n)) for n in evidence.names
    }


def test_a_written_file_is_described_by_what_is_in_it(tmp_path):
    import hashlib

    ((file,), _) = keep(Evidence({"payments": [{"amountMsats": 1}]}), {}, tmp_path / "new")
    content = file.path.read_bytes()
    assert (file.sha256, file.bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert sorted(path.name for path in file.path.parent.iterdir()) == ["payments.jsonl"]


def test_a_table_of_an_earlier_attempt_does_not_stay(tmp_path):
    keep(Evidence({"payments": [{}], "records": [{}]}), {}, tmp_path)
    (tmp_path / "notes.txt").touch()
    keep(Evidence({"records": [{}]}), {}, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["notes.txt", "records.jsonl"]
