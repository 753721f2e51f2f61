"""How engine, bodies and control API can be broken on purpose, to see whether the drills notice."""

from __future__ import annotations

from enum import StrEnum


class EngineFault(StrEnum):
    """One broken behaviour each; a drill that stays green under its fault proves nothing."""

    NO_CHECKPOINT = "no-checkpoint"
    EFFECT_REPEATED = "effect-repeated"
    SLEEP_FROM_ZERO = "sleep-from-zero"
    FORK_PAYS = "fork-pays"
    KEY_ON_WORKFLOW_ID = "key-on-workflow-id"
    CANCEL_DOES_NOT_STOP = "cancel-does-not-stop"
    RESUME_STARTS_OVER = "resume-starts-over"
    RESUME_OF_RUNNING = "resume-of-running"
    ACCEPTS_DRIFT = "accepts-drift"
    AUDIT_OUTSIDE = "audit-outside"
    ROWS_ON_400 = "rows-on-400"
    SPANS_WITHOUT_ATTEMPT = "spans-without-attempt"
    REPLY_TWICE = "reply-twice"
    OTHER_JOURNAL = "other-journal"
    KILL_SPARES = "kill-spares"
