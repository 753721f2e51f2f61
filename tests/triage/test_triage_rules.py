import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from purchases import CAP, HOSTED, LOCAL, PATHS, PRICE, STORIES, T0, asked, clean, denied, story

from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.evidence import Evidence
from pytest_l402.triage.correlation import CLOCK_SKEW_MS
from pytest_l402.triage.diagnosis import triage
from pytest_l402.triage.rules import RULES

DESKTOP = {"executor": "desktop", "executionPath": LOCAL}


def decided(rows):
    return {d.request_id: (str(d.domain), d.rule) for d in triage(Evidence({"records": rows}))}


def rule(rows):
    (found,) = decided(rows).values()
    return found[1]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("kind", STORIES)
def test_each_story_is_read_as_it_went(kind, path):
    domain, wanted, _ = STORIES[kind]
    ((found, by),) = decided(story(kind, path)).values()
    assert found == domain
    assert wanted in (None, by)


def _generated(seed):
    """Records of many requests of every kind, in no order, with the answer key."""
    chance = random.Random(seed)
    rows, key = [], {}
    for kind in STORIES:
        for path in PATHS:
            for number in range(chance.randint(1, 3)):
                name = f"{kind}/{path}/{number}"
                rows += story(kind, path, name)
                key[name] = STORIES[kind][0]
    chance.shuffle(rows)
    return rows, key


@pytest.mark.parametrize("seed", range(3))
def test_an_export_of_everything_is_answered_exactly(seed):
    rows, key = _generated(seed)
    assert {name: domain for name, (domain, _) in decided(rows).items()} == key


_KINDS = st.tuples(st.sampled_from(sorted(STORIES)), st.sampled_from(PATHS))


@given(kinds=st.lists(_KINDS, min_size=1, max_size=4, unique=True), data=st.data())
def test_order_repeats_and_keys_change_no_answer(kinds, data):
    rows = [row for number, (kind, path) in enumerate(kinds) for row in story(kind, path, f"req-{number}")]
    more = data.draw(st.permutations(rows + data.draw(st.lists(st.sampled_from(rows), max_size=4))))
    keys = data.draw(st.permutations(REQUIRED_KEYS))
    told = [{key: row[key] for key in keys} for row in more]
    assert decided(told) == decided(rows)


@given(
    kinds=st.lists(_KINDS, min_size=1, max_size=4, unique=True),
    who=st.sampled_from(["desktop", "gateway", "system"]),
    skew=st.integers(-300_000, 300_000),
)
def test_a_clock_that_goes_wrong_changes_no_answer(kinds, who, skew):
    rows = [row for number, (kind, path) in enumerate(kinds) for row in story(kind, path, f"req-{number}")]
    told = [
        {**row, "observedAtMs": row["observedAtMs"] + (skew if row["executor"] == who else 0)} for row in rows
    ]
    assert decided(told) == decided(rows)


@pytest.mark.parametrize("unit", [1 / 1000, 1000])
def test_a_buyer_in_another_unit_of_time_hides_nothing(unit):
    rows = clean(HOSTED).say("gateway", denyReason="gateway_unreachable", **DESKTOP).rows
    assert rule(rows) == "refused_yet_paid"
    rows[-1]["observedAtMs"] = int(rows[-1]["observedAtMs"] * unit)
    assert rule(rows) == "refused_yet_paid"


@pytest.mark.parametrize(
    ("before", "wanted"), [(CLOCK_SKEW_MS, "refused_yet_paid"), (CLOCK_SKEW_MS + 1_000, "paid")]
)
def test_an_order_between_two_machines_decides_once_it_exceeds_the_skew(before, wanted):
    purchase = clean(HOSTED)
    accepted = purchase.rows[2]["observedAtMs"]
    purchase.say("gateway", denyReason="gateway_unreachable", at=accepted - before, **DESKTOP)
    assert rule(purchase.rows) == wanted


@pytest.mark.parametrize(
    ("later", "wanted"), [(-1, "refused_yet_paid"), (0, "refused_yet_paid"), (1, "paid")]
)
def test_on_one_machine_a_millisecond_decides(later, wanted):
    purchase = asked(HOSTED).say("gateway", denyReason="gateway_upstream_failed", at=T0 + 500)
    purchase.say("gateway", at=T0 + 500 + later, **purchase.paid())
    for plane in ("settlement", "ui"):
        purchase.say(plane, **purchase.paid())
    assert rule(purchase.rows) == wanted


_POLICY = [
    "Host is blocked by spend policy",
    "Host is blocked by policy",
    "Host is not present in allowlist",
    "Host shop.test is blocked",
    "Host shop.test is not on the allowlist",
    "Quoted invoice amount exceeds configured spend cap",
    "BudgetExceededError",
    "DomainNotAllowedError",
    "window_cap_exceeded: window cap exceeded: 2 > 1 msats",
    "host_not_allowed: host shop.test is not in the wallet executor allowlist",
]
_GATEWAY = [
    "Expected an L402 challenge header",
    "Challenge contains an empty attribute entry",
    "Challenge contains an unterminated quoted attribute",
    "Malformed challenge attribute: invoice",
    "Invalid challenge attribute key: in voice",
    "Missing value for challenge attribute: invoice",
    "Duplicate challenge attribute: macaroon",
    "Malformed value for challenge attribute: macaroon",
    "Challenge must include invoice and macaroon attributes",
    "amount_msats and amountmsats conflict in challenge attributes",
    "amount_msats must be a non-negative integer",
    "amount_msats is outside safe integer bounds",
    "L402 challenge failed schema validation",
    "Missing WWW-Authenticate challenge on 402 response",
    "Credential rejected on post-payment retry",
    "ChallengeParseError",
    "L402TransportError",
    "TypeError: fetch failed",
    "Error: connect ECONNREFUSED 10.0.0.1:443",
    "Error: getaddrinfo EAI_AGAIN shop.test",
    "Error: socket hang up",
    "transport_timeout 5000ms url=https://shop.test/",
    "AbortError: This operation was aborted",
    "gateway_status_503",
]
_UNCERTAIN = [
    "PaymentTimeoutError",
    "PaymentMissingPreimageError",
    "payment_pending: payment did not complete before timeout",
    "payment completed without a preimage",
    "send_failed: spark send payment failed: Error: fetch failed",
    "LND payment transport failed: TypeError: fetch failed",
    "wallet_executor_invalid_payment_shape",
    "wallet_executor_http_504",
    "invoice is already paid",
    "Request timed out",
]
_LOCAL = [
    "wallet_locked",
    "PaymentFailedError",
    "payment_failed: payment failed",
    "unable to find a path to destination",
    "wallet executor is not configured",
    "lnd_service_unavailable:payment:down",
    "FAILURE_REASON_NO_ROUTE",
]
_UNHEARD_OF = ["computer says no", "0", "Fehler 17", "host", "the challenge was too hard"]


@pytest.mark.parametrize("plane", ["settlement", "ui"])
@pytest.mark.parametrize("spelled", [str, str.upper, lambda text: f" {text} "])
@pytest.mark.parametrize(
    ("texts", "domain"),
    [
        (_POLICY, "policy"),
        (_GATEWAY, "gateway"),
        (_UNCERTAIN, "local-node"),
        (_LOCAL, "local-node"),
        (_UNHEARD_OF, "unknown"),
    ],
    ids=["policy", "gateway", "uncertain", "local", "unheard-of"],
)
def test_the_desktops_own_words_are_understood(texts, domain, spelled, plane):
    rows, key = [], {}
    for text in texts:
        rows += asked(HOSTED, text).say(plane, denyReason=spelled(text), **DESKTOP).rows
        key[text] = domain
    assert {name: found for name, (found, _) in decided(rows).items()} == key


def test_what_may_have_been_paid_is_never_told_to_be_run_again_at_once():
    for text in [*_UNCERTAIN, *_UNHEARD_OF]:
        (found,) = triage(Evidence({"records": denied(HOSTED, "r", "settlement", text, **DESKTOP).rows}))
        assert found.next_step.startswith("do not let anything pay again")


def test_no_step_lets_a_payment_be_made_before_it_was_looked_for():
    for each in RULES:
        step = each.next_step
        if "again" in step and "run again" in step:
            assert "look the payment hash up" in step, each.name


@pytest.mark.parametrize("text", [*_POLICY, *_UNCERTAIN, *_UNHEARD_OF])
@pytest.mark.parametrize(
    ("plane", "domain"), [("gateway", "gateway"), ("settlement", "settlement"), ("ui", "projection")]
)
def test_what_the_platform_says_is_of_its_plane_whatever_the_words(plane, domain, text):
    rows = denied(HOSTED, "req-1", plane, text, executor="system").rows
    assert decided(rows) == {"req-1": (domain, rule(rows))}


def test_two_paths_of_one_purchase_are_one_purchase():
    """The platform tells it with 24 digits, the buyer with 16."""
    hosted, local = clean(HOSTED), clean(LOCAL)
    bought = [row for row in local.rows if row["plane"] in ("settlement", "ui") and row["paymentProofRef"]]
    told = [{**row, "executor": "desktop"} for row in bought]
    assert rule(hosted.rows + told) == "paid"
    assert rule(hosted.copy().take(plane="ui").rows + told) == "projection_absent"
    without = hosted.copy().take(plane="ui").take(plane="settlement").rows
    assert rule(without + told) == "settlement_absent"
    unpaid = [row for row in hosted.rows if not row["paymentProofRef"]]
    assert rule(unpaid + told) == "payment_unsettled"


def test_a_local_purchase_that_the_platform_shows_is_shown():
    local = clean(LOCAL).take(plane="ui")
    shown = clean(HOSTED).rows[-1]
    assert rule([*local.rows, shown]) == "paid"


@pytest.mark.parametrize("path", PATHS)
def test_a_settlement_without_ui_is_a_projection_where_gateways_never_name_payments(path):
    """The original tools tell of a purchase on settlement and ui only."""
    probe = story("probe", path, "health")
    (settled,) = [row for row in clean(path).rows if row["plane"] == "settlement"]
    assert decided([*probe, settled])["req-1"] == ("projection", "projection_absent")
    assert decided([settled])["req-1"] == ("not-enough-to-say", "lone_plane")


def test_a_challenge_alone_is_enough_where_other_planes_speak_at_all():
    rows = [row for row in asked(HOSTED).rows if row["plane"] == "gateway"]
    assert rule(rows) == "lone_plane"
    assert decided([*rows, *clean(HOSTED, "other").rows])["req-1"][1] == "challenged"


def test_hosted_proofs_that_only_begin_alike_differ():
    story = clean(HOSTED)
    alike = story.proof()[:35] + "0" * 8
    for plane, wanted in (("settlement", "settlement_mismatch"), ("ui", "projection_mismatch")):
        assert rule(story.copy().change({"paymentProofRef": alike}, plane=plane).rows) == wanted


_ORDER = [
    # The first of each line decides, whatever else went wrong.
    ("executor offline", "paused"),
    ("paused", "challenge failed"),
    ("failed after payment", "settlement absent"),
    ("challenge failed", "buyer over cap"),
    ("buyer could not connect", "buyer over cap"),
    ("settlement absent", "pending"),
    ("projection absent", "pending"),
    ("pending", "wallet locked"),
    ("wallet locked", "node degraded"),
    ("node degraded", "unheard-of reason"),
    ("settlement mismatch", "projection mismatch"),
    ("paused", "node degraded"),
]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(("first", "second"), _ORDER)
def test_of_two_faults_the_first_of_the_table_decides(first, second, path):
    rows = story(first, path)
    wrong = [row for row in story(second, path) if row["denyReason"]] or story(second, path)
    assert decided(rows + wrong)["req-1"][0] == STORIES[first][0]


def test_settled_twice_points_at_the_second_settlement():
    rows = story("settled twice", HOSTED)
    (found,) = triage(Evidence({"records": rows}))
    assert rows[found.record_index]["plane"] == "settlement"
    assert found.record_index == len(rows) - 1


def test_both_payments_of_a_request_are_named():
    rows = story("paid twice", HOSTED)
    (found,) = triage(Evidence({"records": rows}))
    assert {row["paymentProofRef"] for row in rows if row["paymentProofRef"]} == set(
        found.reason.removeprefix("one request was paid twice: ").split(" and ")
    )


def test_a_cached_credential_is_no_second_payment():
    purchase = clean(HOSTED)
    for plane in ("gateway", "settlement", "ui"):
        purchase.say(plane, **purchase.paid("earlier", cacheHit=True))
    earlier = clean(HOSTED, "req-0")
    earlier.rows = [
        row | {"paymentProofRef": purchase.proof("earlier")} if row["paymentProofRef"] else row
        for row in earlier.rows
    ]
    assert decided(purchase.rows + earlier.rows)["req-1"][1] == "paid"


def test_a_cap_of_a_record_that_was_never_paid_for_is_no_matter():
    purchase = clean(HOSTED).change({"paidAmountMsats": None}, plane="gateway")
    assert rule(purchase.change({"capAppliedMsats": CAP + PRICE}).rows) == "paid"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("kind", "spent"),
    [
        ("clean", PRICE),
        ("told twice", PRICE),
        ("replayed", PRICE),
        ("paid twice", 2 * PRICE),
        ("settlement mismatch", PRICE),
        ("projection mismatch", PRICE),
        ("challenged", 0),
    ],
)
def test_what_was_spent_is_the_sum_over_the_payments_and_not_over_who_tells_of_them(kind, spent, path):
    (found,) = triage(Evidence({"records": story(kind, path)}))
    assert found.paid_msats == spent


def test_what_was_spent_on_three_payments_is_told_in_full():
    purchase = clean(HOSTED)
    for label, paid in (("second", 1_000), ("third", 300)):
        for plane in ("gateway", "settlement", "ui"):
            purchase.say(plane, **purchase.paid(label, paidAmountMsats=paid))
    (found,) = triage(Evidence({"records": purchase.rows}))
    assert (found.rule, found.paid_msats) == ("paid_twice", PRICE + 1_300)


def test_a_probe_is_one_however_its_path_is_spelled():
    """LIKE heeds capital letters on some engines and not on others."""
    probe = story("probe", HOSTED)
    assert rule([row | {"endpoint": "/L402/HEALTH"} for row in probe]) == rule(probe) == "no_payment"
