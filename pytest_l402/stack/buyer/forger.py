"""How a client behaves that asks the gateway directly: it pays once, and presents what it did not pay for."""

from __future__ import annotations

from dataclasses import dataclass, field

import httpx

from pytest_l402.contract.payment import Wallet
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.network import REQUEST_ID_HEADER
from pytest_l402.protocol import format_credential
from pytest_l402.protocol.quote import read_quote
from pytest_l402.stack.buyer.forgeries import Genuine, OtherWay, forgeries, other_ways


class NotChallengedError(ValueError):
    """The gateway answered without asking for a payment: there is no credential to forge."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request as it was sent: of what kind it was, under which id, how it was answered."""

    kind: str
    request_id: str
    http_status: int
    path: str


@dataclass(frozen=True, slots=True)
class Presented(Asked):
    """One credential as it was presented; `kind` says what is wrong with it.

    `payment_hash` is that of the payment it claims; the credential itself is a secret that the repr hides.
    """

    payment_hash: str
    _genuine: Genuine = field(repr=False)
    _method: str = field(default="GET", repr=False)
    _body: bytes = field(default=b"", repr=False)


class Forger:
    """A client without a task or a policy: it pays once, and then presents what it did not pay for.

    `client` decides which gateway it talks to, by its base URL. Everything it forges hangs on one check of
    the gateway alone: preimage, signature, root key, service or time. It forges what it was given, also where
    that is no macaroon.
    """

    def __init__(self, harness: Harness, *, client: httpx.Client, wallet: Wallet) -> None:
        self._client = client
        self._wallet = wallet
        self._randomness = harness.randomness

    def ask(self, path: str) -> Asked:
        """Ask for a resource without a credential, past the control plane; pay nothing."""
        request_id = self._request_id()
        answer = self._client.get(path, headers={REQUEST_ID_HEADER: request_id}, follow_redirects=False)
        return Asked("without a credential", request_id, answer.status_code, path)

    def buy(self, path: str, *, method: str = "GET", body: bytes = b"") -> Presented:
        """Pay what the resource costs, and present the genuine credential; `path` may have a query.

        Raises:
            NotChallengedError: the gateway does not ask for a payment.
            UnreadableQuote: what it asks for cannot be read.
            PaymentError: the wallet does not pay.
        """
        __tracebackhide__ = True
        request_id = self._request_id()
        challenge = self._client.request(method, path, content=body, headers={REQUEST_ID_HEADER: request_id})
        if challenge.status_code != 402:
            raise NotChallengedError(_not_challenged(path, request_id, challenge))
        quote = read_quote(challenge.headers.get_list("www-authenticate"))
        preimage = self._wallet.pay_invoice(quote.invoice).preimage
        genuine = Genuine(quote.macaroon_base64, preimage)
        bought = Presented("genuine", request_id, 402, path, quote.payment_hash, genuine, method, body)
        return self._present(bought, "genuine", genuine, request_id)

    def present_again(self, bought: Presented, kind: str = "genuine again") -> Presented:
        """Present the genuine credential of a purchase once more, however much time has passed."""
        return self._present(bought, kind, bought._genuine)

    def present_forgeries(self, bought: Presented, foreign: Presented) -> tuple[Presented, ...]:
        """Present every forgery of one purchase's credential; `foreign` was bought of another service."""
        return tuple(
            self._present(bought, forgery.kind, Genuine(forgery.token, forgery.preimage))
            for forgery in forgeries(bought._genuine, foreign._genuine, self._randomness)
        )

    def ask_in_other_ways(self, bought: Presented) -> tuple[Asked, ...]:
        """Ask for what was bought in every way that is no payment, the genuine token in a wrong form too."""
        return tuple(self._ask_as(bought.path, way) for way in other_ways(bought._genuine, self._randomness))

    def _ask_as(self, path: str, way: OtherWay) -> Asked:
        request_id = self._request_id()
        headers = [(REQUEST_ID_HEADER, request_id), *way.headers]
        answer = self._client.request(way.method, path, headers=headers, follow_redirects=False)
        return Asked(way.kind, request_id, answer.status_code, path)

    def _present(
        self, bought: Presented, kind: str, credential: Genuine, request_id: str | None = None
    ) -> Presented:
        request_id = request_id or self._request_id()
        authorization = format_credential(credential.token, credential.preimage)
        answer = self._client.request(
            bought._method,
            bought.path,
            content=bought._body,
            headers={REQUEST_ID_HEADER: request_id, "Authorization": authorization},
            follow_redirects=False,
        )
        return Presented(
            kind,
            request_id,
            answer.status_code,
            bought.path,
            bought.payment_hash,
            credential,
            bought._method,
            bought._body,
        )

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
