"""Decides how the reason of a failed reconcile reads for people; the code itself is for scripts."""

from __future__ import annotations

import re
from typing import Final

_WORDS: Final[tuple[tuple[re.Pattern[str], str], ...]] = tuple(
    (re.compile(pattern), text)
    for pattern, text in (
        (r"nothing_deployed", "nothing is deployed"),
        (r"active_is_nothing", "nothing runs any more"),
        (r"active_is_(\S+)", "another configuration runs, {0}"),
        (r"image_is_None", "what ran before runs again, but the gateway does not say under which image"),
        (r"image_is_(\S+)", "what ran before runs again, but under another image, {0}"),
        (r"image_digest_not_pinned(?:: (.*))?", "the gateway names no image by its digest{: saw |0}"),
        (r"image_digest_not_as_ordered: (.*)", "it runs under another image than the one ordered, {0}"),
        (r"config_hash_(\S+)_not_as_ordered", "the gateway says that it runs {0}, which was not ordered"),
        (r"restored_but_(\w+): (.*)", "what ran before runs again, but does not pass its {0} probe: {1}"),
        (
            r"withdrawn_but_open_status_(\d+) at (.*)",
            "the deployment was taken away, but {1} is delivered without payment (status {0})",
        ),
        (r"still_sold_status_(\d+) at (.*)", "{1} is not for sale any more, but answers with status {0}"),
        (r"unfinished_(\S+)", "deployment {0} was cut off, and cannot be brought to its end yet"),
        (r"superseded", "somebody else has deployed since"),
        (r"interrupted", "it was interrupted"),
        (
            r"missing_proxy_authorization_header",
            "there is no credential to present: OA_LIGHTNING_OPS_PROXY_AUTHORIZATION_HEADER is unset, and no "
            "challenge came with x-oa-smoke-auth",
        ),
        (r"proxy_forged_credential_accepted", "a credential that nobody paid for was served"),
        (
            r"proxy_forged_credential_not_refused_status_(\d+)",
            "a credential that nobody paid for was not refused, but answered with status {0}",
        ),
        (r"challenge_not_bound", "the macaroon is not bound to the payment of the invoice beside it"),
        (r"challenge_invoice_outdated", "the invoice is one that BOLT 11 has payers refuse"),
        (r"challenge_invoice_expired", "the invoice had expired when it was handed out"),
        (r"challenge_invoice_in_future", "the invoice is of a time that has not come yet"),
        (r"challenge_invoice_repeated", "the same invoice was handed out twice, as by a cache"),
        (r"challenge_invoice_unreadable", "what should be an invoice cannot be read"),
        (r"challenge_macaroon_unreadable", "what should be a macaroon cannot be read"),
        (r"challenge_macaroon_expired", "the macaroon had run out before it was bought"),
        (r"challenge_wrong_network", "the invoice is of another Lightning network than expected"),
        (r"challenge_amount_(\d+)_not_(\d+)", "the challenge asks for {0} msats, not {1}"),
    )
)


def in_words(reason: str) -> str:
    """Return a reason as an operator reads it, what it is about behind it; an unknown one as it is.

    `challenge_not_bound at pw:route` becomes a sentence, and ` at pw:route` stays behind it.
    """
    for pattern, text in _WORDS:
        found = pattern.fullmatch(reason)
        if found is not None:
            return _filled(text, found)
    code, at, place = reason.partition(" at ")
    return f"{in_words(code)}{at}{place}" if at else reason


def _filled(text: str, found: re.Match[str]) -> str:
    parts = [in_words(part) if part else "" for part in found.groups(default="")]
    if parts and not parts[0]:
        text = text.replace("{: saw |0}", "")
    return text.replace("{: saw |0}", ": saw {0}").format(*parts)
