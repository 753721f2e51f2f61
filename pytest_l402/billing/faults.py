"""Decides in which ways the reference service can be broken on purpose, and what each is called."""

from __future__ import annotations

from enum import StrEnum

__all__ = ["BillingFault"]


class BillingFault(StrEnum):
    """A way in which a billing service is wrong; D1 to D16 were seen in the service of the runbook."""

    FLAGS_NOT_MOUNTED = "flags-not-mounted"  # D1
    FLAG_WITHOUT_CONSUMER = "flag-without-consumer"  # D2
    QUOTE_OUTLIVES_TTL = "quote-outlives-ttl"  # D3
    TREASURY_FROM_OTHER_NAME = "treasury-from-other-name"  # D4
    MINT_UNBALANCED = "mint-unbalanced"  # D5
    DEAD_LETTERS_NOT_READ = "dead-letters-not-read"  # D6
    ALARM_AT_FIFTY = "alarm-at-fifty"  # D7
    GUARD_NEVER_RETRIES = "guard-never-retries"  # D8
    GUARD_GAUGE_GONE = "guard-gauge-gone"  # D9
    BYPASS_DISABLES_ALL = "bypass-disables-all"  # D10
    CACHE_LOSS_IS_500 = "cache-loss-is-500"  # D11
    REBUILD_IGNORES_USE = "rebuild-ignores-use"  # D12
    SEQUENCE_STARTS_OVER = "sequence-starts-over"  # D13
    NO_LOCK = "no-lock"  # D14
    TOKEN_FROM_CACHE = "token-from-cache"  # noqa: S105 - D15, the name of a fault
    ID_BURNED_BEFORE_SETTLEMENT = "id-burned-before-settlement"  # D16
    CLOCK_BELIEVED = "clock-believed"
    METRICS_LIE = "metrics-lie"
    NO_FDATASYNC = "no-fdatasync"
    FSYNC_RESULT_IGNORED = "fsync-result-ignored"
    MEASURES_BEFORE_IT_CREATES = "measures-before-it-creates"
    DOES_NOT_LOOK = "does-not-look"
