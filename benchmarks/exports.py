"""Exports to measure with: purchases on both paths, one in seven of them with something wrong."""

import json
import random

KEYS = (
    *("requestId", "userId", "paywallId", "taskId", "endpoint", "quotedCostMsats", "capAppliedMsats"),
    *("paidAmountMsats", "paymentProofRef", "cacheHit", "denyReason", "executor", "plane", "executionPath"),
    *("desktopSessionId", "desktopRuntimeStatus", "walletState", "nodeSyncStatus", "observedAtMs"),
)
BEGIN_MS = 1_790_000_000_000


def _row(path, plane, executor, **told):
    known = {
        "requestId": "@ID@",
        "userId": "user-@USER@",
        "paywallId": "pw-7",
        "taskId": "task-@ID@",
        "endpoint": "/api/weather/premium",
        "capAppliedMsats": 50_000,
        "executor": executor,
        "plane": plane,
        "executionPath": path,
        "observedAtMs": "@AT@",
    } | told
    text = json.dumps({key: known.get(key) for key in KEYS}, separators=(",", ":"))
    return text.replace('"@AT@"', "@AT@") + "\n"


def _purchase(path):
    proof = "lightning_preimage:@P@@Q@" if path == "hosted-node" else "preimage:@P@"
    seller = "gateway" if path == "hosted-node" else "desktop"
    paid = {"quotedCostMsats": 21_000, "paidAmountMsats": 21_000, "paymentProofRef": proof, "cacheHit": False}
    return [
        _row(path, "control", "system"),
        _row(path, "gateway", seller, quotedCostMsats=21_000),
        _row(path, "gateway", seller, **paid),
        _row(path, "settlement", "system" if seller == "gateway" else seller, **paid),
        _row(path, "ui", "system", **paid),
    ]


def _kinds():
    for path in ("hosted-node", "local-node"):
        rows = _purchase(path)
        yield 36, rows
        yield 7, rows[:2]  # challenged, and not paid
        yield 1, rows[:4]  # not shown
        yield 1, [*rows[:3], rows[4]]  # not settled
        yield 1, [_row(path, "control", "system", denyReason="global_pause_active")]
        yield 1, [*rows[:2], _row(path, "gateway", "gateway", denyReason="gateway_upstream_failed")]
        yield (
            1,
            [
                *rows[:2],
                _row("local-node", "settlement", "desktop", denyReason="payment_pending", cacheHit=False),
            ],
        )


def write_export(path, n_records, seed=1):
    """Write at least so many records as JSON Lines, in the order of time; return how many."""
    chance = random.Random(seed)
    weights, kinds = zip(*_kinds(), strict=True)
    written = number = 0
    with open(path, "w", encoding="ascii") as file:  # noqa: PTH123 - a hot loop
        while written < n_records:
            (rows,) = chance.choices(kinds, weights)
            digits = f"{chance.getrandbits(96):024x}"
            text = "".join(rows).replace("@ID@", f"req-{number:08}-{digits[:6]}").replace("@P@@Q@", digits)
            text = text.replace("@P@", digits[:16]).replace("@USER@", str(number % 5_000))
            for at in range(len(rows)):
                text = text.replace("@AT@", str(BEGIN_MS + number * 20 + at * 130), 1)
            file.write(text)
            written += len(rows)
            number += 1
    return written
