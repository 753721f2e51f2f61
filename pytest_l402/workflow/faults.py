"""How engine, bodies and control API can be broken on purpose, to see whether the drills notice."""

from __future__ import annotations

from enum import StrEnum


class EngineFault(StrEnum):
    """One broken behaviour each; a drill that stays green under its fault proves nothing."""

    NO_CHECKPOINT = "no-checkpoint"
    """The engine records no step that has run: after a kill all of them run again."""
    EFFECT_REPEATED = "effect-repeated"
    """Each try to pay takes another idempotency key, so that a retry pays again."""
    SLEEP_FROM_ZERO = "sleep-from-zero"
    """A durable sleep that is resumed begins again at its full length."""
    FORK_PAYS = "fork-pays"
    """A fork pays under its own id instead of that of its intent: once more."""
    KEY_ON_WORKFLOW_ID = "key-on-workflow-id"
    """The key of a payment is made of the run's id, not of its intent's, so that a fork pays again."""
    CANCEL_DOES_NOT_STOP = "cancel-does-not-stop"
    """A cancelled run goes on with its next steps."""
    RESUME_STARTS_OVER = "resume-starts-over"
    """A resume forgets the steps that have run, and begins at the first one."""
    RESUME_OF_RUNNING = "resume-of-running"
    """A run that is at work can be resumed, and is then executed twice."""
    ACCEPTS_DRIFT = "accepts-drift"
    """A second start that differs from the first is taken for the same one."""
    AUDIT_OUTSIDE = "audit-outside"
    """The audit record of an operation is written outside of its transaction."""
    ROWS_ON_400 = "rows-on-400"
    """A start that is refused leaves a row."""
    SPANS_WITHOUT_ATTEMPT = "spans-without-attempt"
    """The spans of a step do not say which attempt they are of."""
    REPLY_TWICE = "reply-twice"
    """A second reply to the same question is sent on to the run as well."""
    OTHER_JOURNAL = "other-journal"
    """The database has another journal mode than the workers declare."""
    KILL_SPARES = "kill-spares"
    """A kill is a SIGTERM, which a worker can catch, and no SIGKILL."""
