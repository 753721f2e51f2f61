"""Says what to do next, by what failed; no step asks for anything that could cost money by itself."""

from __future__ import annotations

from typing import Final

MEND: Final = "mend the emitter of the invalid record (all 19 keys, null where unknown), or get it again"
UNCERTAIN: Final = (
    "do not let anything pay again: look the payment hash up in the wallet first; if it succeeded, "
    "fetch the preimage and present the credential, if it failed, queue the task again"
)
GATEWAY: Final = (
    "run the health, challenge and proxy probes against the gateway, then read its log by oa_req=<this "
    "request id>; where a proof is named the buyer has paid, and must not pay again"
)
REFUSED_YET_PAID: Final = (
    "the buyer must not pay again: run the health, challenge and proxy probes against the gateway, read "
    "its log by oa_req=<this request id>, and once it serves let the buyer present the same credential"
)
UNPAID: Final = (
    "stop the route, for the seller gives away what it sells: see which service of the gateway serves "
    "that path without a price (auth off, a route that matches first), then probe the challenge"
)
CREDENTIAL: Final = (
    "do not pay again; find the buyer's request in the gateway's log by oa_req=<this request id>: if it "
    "sent no credential, or one that cannot be read, mend the buyer, else see why the gateway refused "
    "it"
)
POLICY: Final = (
    "nothing is broken: see who set the pause, kill switch or limit that this code names, and whether "
    "it still ought to hold; no payment is on record"
)
DENIED_YET_PAID: Final = (
    "the buyer must not pay again: compare the time of the payment with that of the denial, then "
    "deliver what was paid for or give the money back, and see how the payment passed the denial"
)
SPENDING: Final = (
    "nothing is broken: compare the quoted price with the buyer's spend cap and allowed hosts; raise "
    "the cap or leave it"
)
OVER_CAP: Final = (
    "pause the buyer, for its cap is not enforced: compare quotedCostMsats with capAppliedMsats in its "
    "records, and see why the quote was paid all the same"
)
SETTLEMENT: Final = (
    "find the settlement row by requestId, then by the proof's payment hash; replay the settlement "
    "event if it is absent (ingest is idempotent), and stop payouts for the paywall if the proofs or "
    "amounts differ"
)
SETTLEMENT_REFUSED: Final = (
    "find the settlement row by requestId, then by the proof's payment hash: where there is none, "
    "replay the settlement event once the reason is mended (ingest is idempotent), and let nobody pay "
    "again"
)
PAID_TWICE: Final = (
    "stop the buyer before it pays a third time: look both payment hashes up in the wallet, give one of "
    "the two payments back, and see why the first credential was not presented again"
)
SETTLED_TWICE: Final = (
    "stop payouts for the paywall: compare the settlement ids of this proof, and take the second one back"
)
AMOUNTS: Final = (
    "stop payouts for the paywall: compare the amounts with the invoice of this payment hash, which is right"
)
PROJECTION: Final = (
    "money and settlement are right: rebuild the read model for this requestId/taskId from the "
    "settlement rows and compare paymentProofRef again; do not pay or settle again"
)
PROJECTION_FAILED: Final = (
    "look at the read model's own log by requestId/taskId, mend it and rebuild it from the settlement "
    "rows; do not pay or settle again"
)
LOCAL: Final = (
    "on the buyer's machine look at wallet state, then at the Lightning node's sync state and runtime; "
    "unlock or restart there, look the payment hash up in the wallet, and only if nothing was paid let "
    "the task run again"
)
EXECUTOR: Final = (
    "see whether the desktop executor runs and sends heartbeats (older than 10 s is offline), restart "
    "it, and look at taskStatus in the local artifact before the task is queued again: it may have paid "
    "already"
)
UNKNOWN: Final = (
    "do not let anything pay again yet: look the payment hash up in the buyer's wallet, then read the "
    "buyer's log by the request id for what this reason means"
)
NOT_ENOUGH: Final = (
    "get the records of the other planes: the gateway's log by oa_req=<this request id>, settlement by "
    "requestId, the buyer's local artifact; until then let nobody pay again"
)
