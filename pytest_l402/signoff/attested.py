"""Decides whether the signatures of a run folder are those of whom the reader trusts, and whether its time is
over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from pytest_l402.boundary.input_error import InputError
from pytest_l402.boundary.strict_json import read_json
from pytest_l402.signoff.approval import ApprovalError, approvers, signatures_in
from pytest_l402.signoff.chain import follow
from pytest_l402.signoff.document_model import SignOffDocument
from pytest_l402.signoff.finding import Answer, Aspect, Finding
from pytest_l402.signoff.manifest import read_file
from pytest_l402.signoff.run_files import PUBLIC_KEY, STATEMENTS, bundle_of, envelope_of
from pytest_l402.signoff.signing import (
    PAYLOAD_TYPE,
    UnusableKeyError,
    VerifyingKey,
    encoding,
    read_envelope,
    verifying_key,
)
from pytest_l402.signoff.window import Currency, currency
from pytest_l402.signoff.wording import instant, plural

_SIGNED: Final = "SIGNED"


def signature_finding(folder: Path, document: SignOffDocument, key: VerifyingKey | None) -> Finding:
    """Check envelopes and bundles against the statements here, with `key`, or with the key that lies beside.

    That one shows only that they belong together: INCONCLUSIVE, as anybody can put a key there. A reader who
    has a key asks for a signature: then none is a contradiction.
    """
    aspect = Aspect.SIGNATURE
    if document.signature != _SIGNED:
        if key is None:
            return Finding(aspect, Answer.ABSENT, ("UNSIGNED: nobody has put a signature on this run",))
        return Finding(aspect, Answer.CONTRADICTED, (f"expected a signature by key {key.key_id}, saw none",))
    if key is not None and key.key_id != document.signed_by:
        text = f"expected a signature by key {key.key_id}, saw one by key {document.signed_by}"
        return Finding(aspect, Answer.CONTRADICTED, (text,))
    try:
        beside = verifying_key(read_file(folder / PUBLIC_KEY), folder / PUBLIC_KEY)
    except OSError as error:
        text = f"{PUBLIC_KEY}: expected the key that signed, saw: {error.strerror or error}"
        return Finding(aspect, Answer.CONTRADICTED, (text,))
    except UnusableKeyError as error:
        missing = "no cryptography" in (error.seen or "")
        return Finding(aspect, Answer.INCONCLUSIVE if missing else Answer.CONTRADICTED, (str(error),))
    if beside.key_id != document.signed_by:
        text = f"{PUBLIC_KEY}: expected key {document.signed_by}, saw key {beside.key_id}"
        return Finding(aspect, Answer.CONTRADICTED, (text,))
    faults = tuple(_wrongly_signed(folder, beside))
    if faults:
        return Finding(aspect, Answer.CONTRADICTED, faults)
    if key is None:
        text = (
            f"signed by key {beside.key_id}, whose file lies beside: give the one that you trust with --key"
        )
        return Finding(aspect, Answer.INCONCLUSIVE, (text,))
    return Finding(aspect, Answer.HOLDS, (f"signed by key {key.key_id}",))


def _wrongly_signed(folder: Path, key: VerifyingKey) -> Iterator[str]:
    for name in STATEMENTS:
        if not (folder / name).is_file():
            continue
        envelope, bundle = envelope_of(name), bundle_of(name)
        try:
            payload = read_file(folder / name)
            told = read_json(folder / envelope)
            signed = read_envelope(told)
            wrapped = read_json(folder / bundle)
        except (OSError, ValueError) as error:
            yield str(error) if isinstance(error, InputError) else f"{envelope}: {error}"
            continue
        if signed.payload != payload:
            yield f"{envelope}: expected {name} as its payload, saw other bytes"
        elif signed.payload_type != PAYLOAD_TYPE:
            yield f"{envelope}: expected the payload type {PAYLOAD_TYPE}, saw another one"
        elif not any(
            key_id == key.key_id and key.has_signed(signature, encoding(payload))
            for key_id, signature in signed.signatures
        ):
            yield f"{envelope}: expected a signature by key {key.key_id}, saw none that it has made"
        elif not isinstance(wrapped, dict) or wrapped.get("dsseEnvelope") != told:
            yield f"{bundle}: expected the envelope of {envelope}, saw another one"


def approvals_finding(folder: Path, roster: Path | None, now_ms: int) -> Finding:
    """Check who has approved a run, by a roster in the form of `allowed_signers`; with one, somebody must."""
    aspect, files = Aspect.APPROVALS, signatures_in(folder)
    if roster is None:
        if not files:
            return Finding(aspect, Answer.ABSENT, ("nobody has approved this run",))
        text = f"{plural(len(files), 'approval')}: give the roster that you trust with --roster"
        return Finding(aspect, Answer.INCONCLUSIVE, (text,))
    if not files:
        return Finding(aspect, Answer.CONTRADICTED, ("expected an approval, saw none",))
    names, faults = [], []
    for file in files:
        try:
            names.append(approvers(folder, file, roster, now_ms))
        except ApprovalError as error:
            if error.is_inconclusive:
                return Finding(aspect, Answer.INCONCLUSIVE, (str(error),))
            faults.append(str(error))
    if faults:
        return Finding(aspect, Answer.CONTRADICTED, tuple(faults))
    return Finding(aspect, Answer.HOLDS, tuple(f"approved by {name}" for name in names))


def window_finding(document: SignOffDocument, now_ms: int) -> Finding:
    """Say whether a sign-off counts at this instant, epoch ms."""
    aspect, window = Aspect.WINDOW, document.window
    match currency(document, now_ms):
        case Currency.NO_SIGN_OFF:
            return Finding(aspect, Answer.ABSENT, ("what is no sign-off has no end",))
        case Currency.CURRENT if window is not None:
            return Finding(aspect, Answer.HOLDS, (f"counts until {instant(window.not_after_ms)}",))
        case Currency.STALE if window is not None:
            text = f"STALE since {instant(window.not_after_ms)}, the end of {window.ended_by}"
            return Finding(aspect, Answer.CONTRADICTED, (text,))
        case Currency.NOT_YET if window is not None:
            text = (
                f"it counts from {instant(window.not_before_ms)}, and here it is {instant(now_ms)}: "
                "one of two clocks is wrong"
            )
            return Finding(aspect, Answer.INCONCLUSIVE, (text,))
        case _:
            text = f"a document of version {document.schema_version} does not say when its sign-off ends"
            return Finding(aspect, Answer.INCONCLUSIVE, (text,))


def chain_finding(folder: Path, document: SignOffDocument) -> Finding:
    """Say whether the runs before are those that were named, as far as they lie beside the folder."""
    aspect, previous = Aspect.CHAIN, document.previous
    chain = follow(folder, document)
    if chain.gaps:
        return Finding(aspect, Answer.CONTRADICTED, chain.gaps)
    if previous is not None and not chain.compared:
        text = f"names run {previous.run_id} ({previous.verdict}) as the one before, which is not here"
        return Finding(aspect, Answer.ABSENT, (text,))
    if previous is None:
        text = "names no run before it: its output folder held none"
        return Finding(aspect, Answer.ABSENT, (text,))
    return Finding(aspect, Answer.HOLDS, (f"{plural(chain.runs, 'run')} before it, each as it was named",))
