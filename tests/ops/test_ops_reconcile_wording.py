"""A reason is a code for scripts; what people read is a sentence that says the same."""

import pytest

from pytest_l402.ops.reconcile.wording import in_words
from pytest_l402.protocol.payable import ChallengeFinding


@pytest.mark.parametrize(
    ("reason", "words"),
    [
        ("active_is_cfg_12", "another configuration runs, cfg_12"),
        ("active_is_nothing", "nothing runs any more"),
        (
            "restored_but_challenge: challenge_amount_42000_not_21000 at pw:route",
            "what ran before runs again, but does not pass its challenge probe: the challenge asks for 42000 "
            "msats, not 21000 at pw:route",
        ),
        (
            "restored_but_health: health_status_503",
            "what ran before runs again, but does not pass its health probe: health_status_503",
        ),
        ("image_digest_not_pinned: 'x'", "the gateway names no image by its digest: saw 'x'"),
        ("image_digest_not_pinned", "the gateway names no image by its digest"),
        ("still_sold_status_402 at a:r0", "a:r0 is not for sale any more, but answers with status 402"),
        ("health_status_503", "health_status_503"),
        ("challenge_status_200 at pw:route", "challenge_status_200 at pw:route"),
        ("{0} {x}", "{0} {x}"),
        ("active_is_{0}", "another configuration runs, {0}"),
        ("", ""),
    ],
)
def test_a_reason_in_words(reason: str, words: str) -> None:
    assert in_words(reason) == words


@pytest.mark.parametrize("finding", ChallengeFinding)
def test_every_finding_of_a_challenge_has_words(finding: ChallengeFinding) -> None:
    said = in_words(f"{finding.value} at pw:route")
    assert said.endswith(" at pw:route")
    assert "_" not in said
