"""Purchases as their records tell them, on both execution paths, and everything that may be wrong with one.

`STORIES` is an answer key: what is done to the records of a clean purchase, and which rule must decide then.
"""

import hashlib
from dataclasses import dataclass, field

from evidence_records import make_record

T0 = 1_790_000_000_000
HOSTED, LOCAL = "hosted-node", "local-node"
PATHS = (HOSTED, LOCAL)
PRICE, CAP = 21_000, 50_000
_WELL = {"desktopRuntimeStatus": "running", "walletState": "unlocked", "nodeSyncStatus": "synced"}


@dataclass
class Purchase:
    """Records of one request; `path` says on which execution path it is told."""

    path: str
    name: str = "req-1"
    rows: list = field(default_factory=list)
    at: int = T0

    def say(self, plane, *, executor=None, after=100, at=None, **fields):
        """Add what a plane says, a moment after the last."""
        self.at += after
        known = {
            "requestId": self.name,
            "userId": "user-1",
            "paywallId": "pw-1",
            "taskId": f"task-{self.name}",
            "endpoint": "/premium",
            "capAppliedMsats": CAP,
            "plane": plane,
            "executor": executor or self.speaker(plane),
            "executionPath": self.path,
            "observedAtMs": self.at if at is None else at,
        }
        if self.path == LOCAL and known["executor"] == "desktop":
            known |= {"desktopSessionId": "desk-1", **_WELL}
        self.rows.append(make_record(**known | fields))
        return self

    def speaker(self, plane):
        """Who speaks for a plane: on the local path the desktop, but for the gate and the ui."""
        if plane in ("control", "ui"):
            return "system"
        if self.path == LOCAL:
            return "desktop"
        return "gateway" if plane == "gateway" else "system"

    def proof(self, label=""):
        digits = hashlib.sha256(f"{self.name}{label}".encode()).hexdigest()
        return f"lightning_preimage:{digits[:24]}" if self.path == HOSTED else f"preimage:{digits[:16]}"

    def paid(self, label="", **fields):
        return {
            "quotedCostMsats": PRICE,
            "paidAmountMsats": PRICE,
            "paymentProofRef": self.proof(label),
            "cacheHit": False,
        } | fields

    def take(self, **fields):
        """Take away the records that have all of these values, and return self."""
        self.rows = [row for row in self.rows if any(row[key] != value for key, value in fields.items())]
        return self

    def change(self, changes, **fields):
        """Change the records that have all of these values."""
        for row in self.rows:
            if all(row[key] == value for key, value in fields.items()):
                row.update(changes)
        return self

    def copy(self):
        return Purchase(self.path, self.name, [dict(row) for row in self.rows], self.at)


def asked(path, name="req-1"):
    """A request that was let through and challenged."""
    return Purchase(path, name).say("control").say("gateway", quotedCostMsats=PRICE)


def clean(path, name="req-1"):
    """A purchase that went well, told by every plane."""
    story = asked(path, name)
    for plane in ("gateway", "settlement", "ui"):
        story.say(plane, **story.paid())
    return story


def denied(path, name, plane, reason, **fields):
    """A purchase that ended with this denial instead of a payment."""
    return asked(path, name).say(plane, denyReason=reason, **fields)


def _buyer(path, name, reason, **fields):
    """What the buyer's machine says when it does not pay: on settlement and on ui, as the real one does."""
    story = asked(path, name)
    told = {"executor": "desktop", "executionPath": LOCAL, "denyReason": reason, **_WELL} | fields
    return story.say("settlement", **told).say("ui", **told)


def _failed_after_payment(path, name):
    story = asked(path, name)
    story.say("gateway", **story.paid(denyReason="gateway_upstream_failed"))
    return story.say("settlement", **story.paid()).say("ui", **story.paid())


def _paid_again(path, name, label="again"):
    story = clean(path, name)
    for plane in ("gateway", "settlement", "ui"):
        story.say(plane, after=3_000, **story.paid(label))
    return story


def _replayed(path, name):
    story = clean(path, name)
    for plane in ("settlement", "ui"):
        story.say(plane, **story.paid(cacheHit=True))
    return story


def _overcome(path, name):
    story = asked(path, name).say("gateway", denyReason="gateway_upstream_failed")
    for plane in ("gateway", "settlement", "ui"):
        story.say(plane, **story.paid())
    return story


def _lifted(path, name):
    story = Purchase(path, name).say("control", denyReason="global_pause_active")
    story.rows += clean(path, name).rows
    story.rows[0]["observedAtMs"] = T0
    return story


def _altered(path, name, plane):
    story = clean(path, name)
    return story.change({"paymentProofRef": story.proof("another")}, plane=plane)


def _settled_again(path, name):
    story = clean(path, name)
    return story.say("settlement", **story.paid())


def _lone(path, name, plane):
    story = clean(path, name)
    story.rows = [row for row in story.rows if row["plane"] == plane and row["paymentProofRef"]] or [
        row for row in story.rows if row["plane"] == plane
    ]
    return story


def _state(path, name, **state):
    """A request that nobody paid, told by a machine in this state."""
    return Purchase(path, name).say("control").say("gateway", quotedCostMsats=PRICE, **state)


def _probe(path, name):
    return Purchase(path, name).say("gateway", endpoint="/l402/health", paywallId=None)


def _buyer_failed_then_paid(path, name):
    story = asked(path, name)
    told = {"executor": "desktop", "executionPath": LOCAL}
    story.say("settlement", **told, denyReason="payment_failed")
    for plane in ("gateway", "settlement", "ui"):
        story.say(plane, **story.paid())
    return story.say("ui", **told, **story.paid())


def _shown_by_the_platform(path, name):
    """On the local path too the ui is the platform's, and says so."""
    return clean(path, name).change({"executionPath": HOSTED}, plane="ui")


STORIES = {
    # name: (domain, rule, how to tell it)
    "clean": ("healthy", "paid", clean),
    "shown by the platform": ("healthy", "paid", _shown_by_the_platform),
    "the platform shows another": (
        "projection",
        "projection_mismatch",
        lambda p, n: _altered(p, n, "ui").change({"executionPath": HOSTED}, plane="ui"),
    ),
    "not settled, shown by the platform": (
        "settlement",
        "settlement_absent",
        lambda p, n: _shown_by_the_platform(p, n).take(plane="settlement"),
    ),
    "replayed": ("healthy", "paid", _replayed),
    "overcome": ("healthy", "paid", _overcome),
    "lifted": ("healthy", "paid", _lifted),
    "failed, then paid": ("healthy", "paid", _buyer_failed_then_paid),
    "cap kept to the last": ("healthy", "paid", lambda p, n: clean(p, n).change({"capAppliedMsats": PRICE})),
    "replay of a dearer time": (
        "healthy",
        "paid",
        lambda p, n: _replayed(p, n).change({"capAppliedMsats": 1}, cacheHit=True),
    ),
    "told twice": (
        "healthy",
        "paid",
        lambda p, n: (s := clean(p, n), s.rows.extend([dict(row) for row in s.rows]))[0],
    ),
    "challenged": ("healthy", "challenged", asked),
    "probe": ("healthy", "no_payment", _probe),
    "paid on a degraded node": (
        "healthy",
        "paid",
        lambda p, n: clean(p, n).change({"nodeSyncStatus": "degraded", "walletState": "locked"}),
    ),
    "paused": ("policy", "policy_denied", lambda p, n: denied(p, n, "control", "global_pause_active")),
    "denied by an unheard-of rule": ("policy", "policy_denied", lambda p, n: denied(p, n, "control", "nope")),
    "denied, yet paid": (
        "policy",
        "denied_yet_paid",
        lambda p, n: clean(p, n).say("control", denyReason="global_pause_active"),
    ),
    "executor offline": (
        "executor",
        "executor_unavailable",
        lambda p, n: denied(p, n, "control", "desktop_executor_offline"),
    ),
    "reconcile failed": (
        "gateway",
        "reconcile_failed",
        lambda p, n: denied(p, n, "control", "health_check_failed"),
    ),
    "given away": (
        "gateway",
        "delivered_unpaid",
        lambda p, n: Purchase(p, n).say("control").say("gateway", quotedCostMsats=None),
    ),
    "challenge failed": (
        "gateway",
        None,
        lambda p, n: Purchase(p, n).say("control").say("gateway", denyReason="gateway_challenge_failed"),
    ),
    "gateway failed for an unheard-of reason": (
        "gateway",
        None,
        lambda p, n: denied(p, n, "gateway", "the hamster is tired"),
    ),
    "failed after payment": ("gateway", "refused_yet_paid", _failed_after_payment),
    "credential refused": (
        "gateway",
        "credential_refused",
        lambda p, n: clean(p, n).say("gateway", denyReason="credential_refused"),
    ),
    "buyer over cap": (
        "policy",
        "spending_policy",
        lambda p, n: _buyer(p, n, "Quoted invoice amount exceeds configured spend cap"),
    ),
    "buyer could not connect": (
        "gateway",
        "gateway_unreachable",
        lambda p, n: _buyer(p, n, "TypeError: fetch failed"),
    ),
    "paid over cap": (
        "executor",
        "paid_over_cap",
        lambda p, n: clean(p, n).change({"capAppliedMsats": PRICE - 1}, plane="settlement"),
    ),
    "paid over the cap of the gate": (
        "executor",
        "paid_over_cap",
        lambda p, n: clean(p, n).change({"capAppliedMsats": PRICE - 1}, plane="control"),
    ),
    "settlement refused": (
        "settlement",
        "settlement_refused",
        lambda p, n: denied(p, n, "settlement", "settlement_conflict"),
    ),
    "paid twice": ("settlement", "paid_twice", _paid_again),
    "settlement mismatch": (
        "settlement",
        "settlement_mismatch",
        lambda p, n: (
            s := clean(p, n),
            s.change({"paymentProofRef": s.proof("x")}, plane="settlement"),
            s.change({"paymentProofRef": s.proof("x")}, plane="ui"),
        )[0],
    ),
    "settlement differs from both": (
        "settlement",
        "settlement_mismatch",
        lambda p, n: _altered(p, n, "settlement"),
    ),
    "settlement absent": (
        "settlement",
        "settlement_absent",
        lambda p, n: clean(p, n).take(plane="settlement").take(plane="ui"),
    ),
    "settlement absent, shown all the same": (
        "settlement",
        "settlement_absent",
        lambda p, n: clean(p, n).take(plane="settlement"),
    ),
    "settled twice": ("settlement", "settled_twice", _settled_again),
    "amounts differ": (
        "settlement",
        "amounts_differ",
        lambda p, n: clean(p, n).change({"paidAmountMsats": PRICE - 1}, plane="settlement"),
    ),
    "ui names another amount": (
        "settlement",
        "amounts_differ",
        lambda p, n: clean(p, n).change({"paidAmountMsats": PRICE - 1}, plane="ui"),
    ),
    "projection absent": ("projection", "projection_absent", lambda p, n: clean(p, n).take(plane="ui")),
    "projection mismatch": ("projection", "projection_mismatch", lambda p, n: _altered(p, n, "ui")),
    "projection failed": (
        "projection",
        "projection_failed",
        lambda p, n: clean(p, n).say("ui", denyReason="read_model_down"),
    ),
    "pending": ("local-node", "payment_uncertain", lambda p, n: _buyer(p, n, "payment_pending")),
    "preimage missing": (
        "local-node",
        "payment_uncertain",
        lambda p, n: _buyer(p, n, "PaymentMissingPreimageError"),
    ),
    "pending, on a locked wallet": (
        "local-node",
        "payment_uncertain",
        lambda p, n: _buyer(p, n, "payment_pending", walletState="locked"),
    ),
    "wallet locked": (
        "local-node",
        "wallet_locked",
        lambda p, n: _buyer(p, n, "wallet_locked", walletState="locked"),
    ),
    "runtime down": (
        "local-node",
        "runtime_down",
        lambda p, n: _buyer(p, n, "payment_failed", desktopRuntimeStatus="backoff"),
    ),
    "node degraded": (
        "local-node",
        "node_degraded",
        lambda p, n: _buyer(p, n, "payment_failed", nodeSyncStatus="degraded"),
    ),
    "payment failed": ("local-node", "local_failure", lambda p, n: _buyer(p, n, "payment_failed")),
    "unheard-of reason": ("unknown", "unknown_denial", lambda p, n: _buyer(p, n, "computer says no")),
    "only let through": ("not-enough-to-say", "lone_plane", lambda p, n: _lone(p, n, "control")),
    "only accepted": ("not-enough-to-say", "lone_plane", lambda p, n: _lone(p, n, "gateway")),
    "only settled": ("not-enough-to-say", "lone_plane", lambda p, n: _lone(p, n, "settlement")),
    "only shown": ("not-enough-to-say", "lone_plane", lambda p, n: _lone(p, n, "ui")),
}
"""What may have happened, with domain and rule (None: who speaks decides which) that must be found."""


def story(kind, path, name="req-1"):
    """The records of one request of this kind."""
    return STORIES[kind][2](path, name).rows
