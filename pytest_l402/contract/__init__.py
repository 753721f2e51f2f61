"""What a record and an artifact must be: keys, values, documents, and how they are read and shown safely."""

from .faults import FaultKind, RecordFault
from .proof_reference import hosted_proof_reference, local_proof_reference, proof_join_key
from .record import (
    ENUM_VALUES,
    NULLABLE_KEYS,
    REQUIRED_KEYS,
    DesktopRuntimeStatus,
    ExecutionPath,
    Executor,
    NodeSyncStatus,
    ObservabilityRecord,
    Plane,
    RecordError,
    WalletState,
    decode_record,
    record_faults,
)
from .redaction import REDACTED, digest_reference, is_digest_reference, redact_text
from .task_graph import TRANSITIONS, UNFINISHED, TaskStatus, is_allowed
from .text_safety import folder_name, printable, quoted

__all__ = [
    "ENUM_VALUES",
    "NULLABLE_KEYS",
    "REDACTED",
    "REQUIRED_KEYS",
    "TRANSITIONS",
    "UNFINISHED",
    "DesktopRuntimeStatus",
    "ExecutionPath",
    "Executor",
    "FaultKind",
    "NodeSyncStatus",
    "ObservabilityRecord",
    "Plane",
    "RecordError",
    "RecordFault",
    "TaskStatus",
    "WalletState",
    "decode_record",
    "digest_reference",
    "folder_name",
    "hosted_proof_reference",
    "is_allowed",
    "is_digest_reference",
    "local_proof_reference",
    "printable",
    "proof_join_key",
    "quoted",
    "record_faults",
    "redact_text",
]
