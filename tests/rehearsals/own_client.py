"""The client from the package index in the place of the executor, as the page for its author puts it."""

from __future__ import annotations

import re

from rehearsed_project import REPOSITORY

_PAGE = (REPOSITORY / "docs" / "rehearse-your-own-client.md").read_text()
_CONFTEST = re.search(r"<!-- file: conftest\.py -->\n```python\n(.*?)```", _PAGE, re.DOTALL)
assert _CONFTEST is not None


def altered(text: str, *changes: tuple[str, str]) -> str:
    """The text with each of these changes, every one of which must find its place."""
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


ADAPTER = _CONFTEST[1]

OVER_LOOPBACK = altered(
    ADAPTER,
    ("https://gateway.l402.test", "{self.base_url}"),
    (
        "    def __init__(self, wallet):\n        self.purse",
        "    def __init__(self, wallet, base_url):\n        self.base_url = base_url\n        self.purse",
    ),
    (
        "    return l402_stack.attributed(MyClient(l402_wallet))",
        "    with l402_stack.serve() as served:\n"
        "        yield l402_stack.attributed(MyClient(l402_wallet, served.gateway_url))",
    ),
)

FORGETFUL = altered(ADAPTER, ("answer = self.client.get", "answer = L402Client(wallet=self.purse).get"))

WITHOUT_A_BUDGET = altered(ADAPTER, ("max_sats_per_request=100", "max_sats_per_request=10_000"))
