"""Decides in which ways the reference service can be broken on purpose, and what each is called."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["BillingFault"]


class BillingFault(StrEnum):
    """A way in which a billing service is wrong; D1 to D16 were seen in the service of the runbook."""

    FLAGS_NOT_MOUNTED = "flags-not-mounted"  # D1
    """The routes of the feature flags are not there: a toggle is 404."""
    FLAG_WITHOUT_CONSUMER = "flag-without-consumer"  # D2
    """Some flags have no endpoint that obeys them."""
    QUOTE_OUTLIVES_TTL = "quote-outlives-ttl"  # D3
    """A quote with the old treasury address is served after its time."""
    TREASURY_FROM_OTHER_NAME = "treasury-from-other-name"  # D4
    """The service takes its treasury address from another variable than the one that is rotated."""
    MINT_UNBALANCED = "mint-unbalanced"  # D5
    """A mint is posted in two units, so that its postings do not sum to zero."""
    DEAD_LETTERS_NOT_READ = "dead-letters-not-read"  # D6
    """Nobody takes up the entries of the dead-letter queue."""
    ALARM_AT_FIFTY = "alarm-at-fifty"  # D7
    """The alarm for entries that wait is raised at fifty of them, not above ten."""
    GUARD_NEVER_RETRIES = "guard-never-retries"  # D8
    """A conservation guard that is degraded tries again after ten minutes, not after its period."""
    GUARD_GAUGE_GONE = "guard-gauge-gone"  # D9
    """The gauge of the guard's state is not among the metrics."""
    BYPASS_DISABLES_ALL = "bypass-disables-all"  # D10
    """A bypass of the guard switches off every check, also those of their own, and calls itself ready."""
    CACHE_LOSS_IS_500 = "cache-loss-is-500"  # D11
    """A cache that cannot be reached is an internal error, not a refusal."""
    REBUILD_IGNORES_USE = "rebuild-ignores-use"  # D12
    """A rebuild of the cache forgets which payment ids were used."""
    SEQUENCE_STARTS_OVER = "sequence-starts-over"  # D13
    """The numbers of the log's records begin at 0 again in a new segment."""
    NO_LOCK = "no-lock"  # D14
    """A second instance writes, as nothing keeps it from it."""
    TOKEN_FROM_CACHE = "token-from-cache"  # noqa: S105 - D15, the name of a fault
    """Fencing tokens come from the cache, which can lose its count."""
    ID_BURNED_BEFORE_SETTLEMENT = "id-burned-before-settlement"  # D16
    """A payment id counts as used before its payment is settled, and a retry is then served."""
    CLOCK_BELIEVED = "clock-believed"
    """A record takes its time from the machine, also when that is behind the records that are there."""
    METRICS_LIE = "metrics-lie"
    """The count of entries that wait for reconciliation is always told as 0."""
    NO_FDATASYNC = "no-fdatasync"
    """A record is acknowledged before it is on the disk."""
    FSYNC_RESULT_IGNORED = "fsync-result-ignored"
    """A record is acknowledged although writing it to the disk failed."""
    MEASURES_BEFORE_IT_CREATES = "measures-before-it-creates"
    """A new writer looks for the end of the log before it has shut out the old one."""
    DOES_NOT_LOOK = "does-not-look"
    """A writer does not look whether another one has taken over."""
