"""Which credentials a thief would try: each is wrong in one way, and right in every other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import httpx

from pytest_l402.contract.payment import Wallet
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.protocol import Identifier, Macaroon, Preimage, format_credential, mint
from pytest_l402.protocol.quote import Quote, read_quote


class NotChallengedError(ValueError):
    """The gateway answered without asking for a payment: there is no credential to forge."""


@dataclass(frozen=True, slots=True)
class Presented:
    """One credential as it was presented: what is wrong with it, under which request id, how it was answered.

    `payment_hash` is that of the payment it claims; the credential itself is a secret that the repr hides.
    """

    kind: str
    request_id: str
    http_status: int
    payment_hash: str
    path: str
    _quote: Quote = field(repr=False)
    _preimage: Preimage = field(repr=False)


class Forger:
    """A client that pays once, and then presents what it did not pay for.

    `client` decides which gateway it talks to, by its base URL. Everything it forges hangs on one check of
    the gateway alone: preimage, signature, root key, service or time.
    """

    def __init__(self, harness: Harness, *, client: httpx.Client, wallet: Wallet) -> None:
        self._client = client
        self._wallet = wallet
        self._randomness = harness.randomness

    def buy(self, path: str) -> Presented:
        """Pay what the resource costs, and present the genuine credential.

        Raises:
            NotChallengedError: the gateway does not ask for a payment.
            UnreadableQuote: what it asks for cannot be read.
            PaymentError: the wallet does not pay.
        """
        __tracebackhide__ = True
        request_id = self._request_id()
        challenge = self._client.get(path, headers={REQUEST_ID_HEADER: request_id})
        if challenge.status_code != 402:
            raise NotChallengedError(_not_challenged(path, request_id, challenge))
        quote = read_quote(challenge.headers.get_list("www-authenticate"))
        preimage = self._wallet.pay_invoice(quote.invoice).preimage
        return self._present("genuine", path, quote, preimage, request_id=request_id)

    def present_again(self, bought: Presented, kind: str = "genuine again") -> Presented:
        """Present the genuine credential of a purchase once more, however much time has passed."""
        return self._present(kind, bought.path, bought._quote, bought._preimage)

    def present_forgeries(self, bought: Presented, foreign: Presented) -> tuple[Presented, ...]:
        """Present every forgery of one purchase's credential; `foreign` was bought of another service."""
        return tuple(
            self._present(kind, bought.path, replace(bought._quote, macaroon_base64=macaroon), preimage)
            for kind, macaroon, preimage in self._forgeries(bought, foreign)
        )

    def _forgeries(self, bought: Presented, foreign: Presented) -> Iterator[tuple[str, str, Preimage]]:
        genuine, preimage = Macaroon.from_base64(bought._quote.macaroon_base64), bought._preimage
        identifier = Identifier.decode(genuine.identifier)
        own_key = self._randomness.bytes(32, "a key of the forger's own")
        unissued = replace(identifier, token_id=self._randomness.bytes(32, "an id that nobody issued"))
        unpaid = Preimage(self._randomness.bytes(32, "a preimage that proves nothing"))
        yield "preimage of nothing", genuine.to_base64(), unpaid
        yield "preimage of another payment", genuine.to_base64(), foreign._preimage
        signed = mint(own_key, genuine.identifier, genuine.location, genuine.caveats)
        yield "signed with another key", signed.to_base64(), preimage
        yield "first caveats only", replace(genuine, caveats=genuine.caveats[:1]).to_base64(), preimage
        invented = mint(own_key, unissued.encode(), genuine.location, genuine.caveats)
        yield "never issued", invented.to_base64(), preimage
        yield "of another service", foreign._quote.macaroon_base64, foreign._preimage

    def _present(
        self, kind: str, path: str, quote: Quote, preimage: Preimage, *, request_id: str | None = None
    ) -> Presented:
        request_id = request_id or self._request_id()
        authorization = format_credential(quote.macaroon_base64, preimage)
        headers = {REQUEST_ID_HEADER: request_id, "Authorization": authorization}
        answer = self._client.get(path, headers=headers, follow_redirects=False)
        return Presented(kind, request_id, answer.status_code, quote.payment_hash, path, quote, preimage)

    def _request_id(self) -> str:
        return f"forger-{self._randomness.uuid('forger request id')}"


def _not_challenged(path: str, request_id: str, answer: httpx.Response) -> str:
    unpaid = ": delivered without payment" if answer.is_success else ""
    return (
        f"{path} could not be bought, so that there is no credential to forge\n"
        "  expected  status 402 with a challenge (observability, section 3)\n"
        f"  seen      status {answer.status_code}{unpaid}\n"
        f"  where     the answer to request {request_id}, in exchanges\n"
        "  do        see which service of the gateway serves this path, and whether its auth is on"
    )
