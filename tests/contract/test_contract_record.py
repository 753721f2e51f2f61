import pytest
from contract_samples import paid_record, vector
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.contract import (
    ENUM_VALUES,
    REQUIRED_KEYS,
    DepartureKind,
    DocumentError,
    ObservabilityRecord,
    Plane,
    record_departures,
)

TEXT_KEYS = (
    "requestId",
    "userId",
    "paywallId",
    "taskId",
    "endpoint",
    "paymentProofRef",
    "desktopSessionId",
)
MSATS_KEYS = ("quotedCostMsats", "capAppliedMsats", "paidAmountMsats")
LARGEST = 2**53 - 1


def departures_of(**changes):
    return [(departure.field, departure.kind) for departure in record_departures(paid_record(**changes))]


def test_required_keys_are_those_of_the_original_in_its_order():
    assert list(REQUIRED_KEYS) == vector("observability.json")["requiredFieldKeys"]


@pytest.mark.parametrize("record", vector("observability.json")["records"])
def test_hosted_vectors_round_trip_with_their_key_order(record):
    row = ObservabilityRecord.decode(record).to_row()
    assert row == record
    assert list(row) == list(record)


def test_row_holds_plain_builtins_only():
    row = ObservabilityRecord.decode(paid_record()).to_row()
    assert {type(value) for value in row.values()} == {str, int, bool, type(None)}


def test_keyword_construction_gives_the_same_record_as_decoding():
    row = paid_record()
    decoded = ObservabilityRecord.decode(row)
    built = ObservabilityRecord(**{name: getattr(decoded, name) for name in type(decoded).model_fields})
    assert built == decoded
    assert built.plane is Plane.SETTLEMENT


def test_construction_has_no_defaults():
    with pytest.raises(ValueError, match="Field required"):
        ObservabilityRecord(request_id="r")


@pytest.mark.parametrize("key", REQUIRED_KEYS)
def test_missing_key_is_refused(key):
    record = paid_record()
    del record[key]
    assert [(departure.field, departure.kind) for departure in record_departures(record)] == [
        (key, DepartureKind.MISSING)
    ]


@pytest.mark.parametrize("key", REQUIRED_KEYS)
def test_null_is_accepted_exactly_where_the_contract_says(key):
    nullable = key not in ("executor", "plane", "executionPath", "observedAtMs")
    assert departures_of(**{key: None}) == ([] if nullable else [(key, DepartureKind.TYPE)])


@pytest.mark.parametrize("key", TEXT_KEYS)
def test_text_must_not_be_empty_but_may_be_blank(key):
    assert departures_of(**{key: ""}) == [(key, DepartureKind.BLANK)]
    assert departures_of(**{key: " "}) == []
    assert departures_of(**{key: 5}) == [(key, DepartureKind.TYPE)]


def test_deny_reason_may_be_empty_text():
    assert departures_of(denyReason="") == []
    assert departures_of(denyReason=5) == [("denyReason", DepartureKind.TYPE)]


@pytest.mark.parametrize("key", [*MSATS_KEYS, "observedAtMs"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, None),
        (LARGEST, None),
        (1.0, None),
        (-0.0, None),
        (2**53, DepartureKind.RANGE),
        (2.0**53, DepartureKind.RANGE),
        (-1, DepartureKind.RANGE),
        pytest.param(10**5000, DepartureKind.RANGE, id="thousands-of-digits"),
        (1.5, DepartureKind.TYPE),
        ("1", DepartureKind.TYPE),
        (True, DepartureKind.TYPE),
        (float("nan"), DepartureKind.TYPE),
        (float("inf"), DepartureKind.TYPE),
    ],
)
def test_amounts_and_times_are_safe_integers(key, value, kind):
    assert departures_of(**{key: value}) == ([] if kind is None else [(key, kind)])


def test_integral_float_becomes_an_integer():
    value = ObservabilityRecord.decode(paid_record(paidAmountMsats=2500.0)).to_row()["paidAmountMsats"]
    assert (value, type(value)) == (2500, int)


@pytest.mark.parametrize(
    ("value", "kind"), [(1, DepartureKind.TYPE), ("true", DepartureKind.TYPE), (True, None)]
)
def test_flags_are_booleans(value, kind):
    assert departures_of(cacheHit=value) == ([] if kind is None else [("cacheHit", kind)])


@pytest.mark.parametrize("key", ENUM_VALUES)
def test_enums_take_their_values_case_sensitively(key):
    for value in ENUM_VALUES[key]:
        assert departures_of(**{key: value}) == []
        assert departures_of(**{key: value.upper()}) == [(key, DepartureKind.ENUM)]
    assert departures_of(**{key: 1}) == [(key, DepartureKind.TYPE)]


def test_enum_values_are_the_original_ones():
    assert ENUM_VALUES == {
        "executor": ("desktop", "gateway", "system"),
        "plane": ("control", "gateway", "settlement", "ui"),
        "executionPath": ("local-node", "hosted-node"),
        "desktopRuntimeStatus": (
            "unavailable",
            "stopped",
            "starting",
            "running",
            "stopping",
            "backoff",
            "failed",
        ),
        "walletState": ("locked", "unlocked", "initializing", "recovering"),
        "nodeSyncStatus": ("syncing", "synced", "degraded"),
    }


def test_excess_keys_are_dropped():
    assert ObservabilityRecord.decode(paid_record(extra=1)).to_row() == paid_record()


def test_attribute_names_are_no_keys():
    record = paid_record()
    record["request_id"] = record.pop("requestId")
    assert [departure.field for departure in record_departures(record)] == ["requestId"]


@pytest.mark.parametrize("value", [None, [], "x", 1, [{}]])
def test_only_an_object_is_a_record(value):
    (departure,) = record_departures(value)
    assert departure.kind is DepartureKind.NOT_AN_OBJECT


def test_all_faults_come_at_once_in_canonical_order():
    assert departures_of(observedAtMs=-1, plane="UI", requestId="") == [
        ("requestId", DepartureKind.BLANK),
        ("plane", DepartureKind.ENUM),
        ("observedAtMs", DepartureKind.RANGE),
    ]
    with pytest.raises(DocumentError, match=r"requestId.*plane"):
        ObservabilityRecord.decode(paid_record(plane="UI", requestId=""))


def test_lone_surrogate_is_refused_and_shown_escaped():
    (departure,) = record_departures(paid_record(userId="a\ud800"))
    assert "surrogate" in departure.expected
    str(departure).encode("utf-8")


@pytest.mark.parametrize("key", ["plane", "observedAtMs", "cacheHit"])
def test_a_fault_never_shows_a_secret(key):
    secret = "ab" * 32
    for value in (f'L402 macaroon="m", preimage="{secret}"', {"preimage": secret}, [secret]):
        (departure,) = record_departures(paid_record(**{key: value}))
        assert secret not in str(departure)
    (departure,) = record_departures({**paid_record(), "plane": "<b>\x1b[31m"})
    assert "\x1b" not in str(departure)
    assert "<b>" not in str(departure)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)


@given(st.dictionaries(st.sampled_from(REQUIRED_KEYS), JSON))
def test_whatever_is_accepted_round_trips(changes):
    record = paid_record(**changes)
    if record_departures(record):
        return
    row = ObservabilityRecord.decode(record).to_row()
    assert ObservabilityRecord.decode(row).to_row() == row
    assert list(row) == list(REQUIRED_KEYS)


@given(JSON)
def test_no_value_makes_the_decoder_fall_over(value):
    for departure in record_departures(value):
        assert departure.kind in DepartureKind
        str(departure).encode("utf-8")
