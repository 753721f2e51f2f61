"""What a rehearsal changes in Aperture's file: where it listens, who makes invoices, where services lead.

All else, whatever it is, stays as it was written. The changed file is a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

from pytest_l402.ops.compile.aperture_writer import CLOSED_ADDRESS
from pytest_l402.ops.compile.terms import MSATS_PER_SAT
from pytest_l402.stack.gateway.services import Service

BASE_NAME: Final = "base"
DATABASE_NAME: Final = "aperture.db"
NOBODY: Final = "127.0.0.1:1"
"""Where a closed route leads: a port that nobody may listen at, so that no name has to be looked up."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where a program is placed in a rehearsal: at `port` of this machine alone, where it asks nobody else.

    `invoices` are the keys of `authenticator` that lead to whoever makes them; `seller` is the address, with
    its port, of the seller's API. Every path is meant from the program's own folder.
    """

    port: int
    invoices: Mapping[str, str]
    seller: str

    def settings(self) -> dict[str, Any]:
        """Return the keys of the file that are the rehearsal's own."""
        return {
            "listenaddr": f"127.0.0.1:{self.port}",
            "insecure": True,
            "basedir": BASE_NAME,
            "dbbackend": "sqlite",
            "sqlite": {"databasefilename": DATABASE_NAME},
            "authenticator": {"network": "regtest", **self.invoices},
        }

    def led_here(self, service: Mapping[str, Any]) -> dict[str, Any]:
        """Return a service of the file that leads to the seller of the rehearsal, or nowhere as before."""
        is_closed = service.get("address") == CLOSED_ADDRESS
        return {**service, "address": NOBODY if is_closed else self.seller, "protocol": "http"}


def placed(document: Mapping[str, Any], surroundings: Surroundings) -> str:
    """Return the file that a program is started with: `document` with what `surroundings` change."""
    services = [surroundings.led_here(service) for service in document.get("services") or ()]
    whole = {**document, **surroundings.settings(), "services": services}
    return yaml.safe_dump(whole, sort_keys=False, allow_unicode=True, width=2**31 - 1)


def document_of(services: Iterable[Service]) -> dict[str, Any]:
    """Return the file that sells these services, as its document; prices are whole sats."""
    return {"services": [_entry(service) for service in services]}


def _entry(service: Service) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": service.name,
        "hostregexp": service.hostregexp or ".*",
        "pathregexp": service.pathregexp,
        "address": service.address,
        "protocol": service.protocol,
        "auth": service.auth,
    }
    if service.auth != "off":
        entry["price"] = service.price_msats // MSATS_PER_SAT
    if service.timeout_s:
        entry["timeout"] = service.timeout_s
    if service.authskipinvoicecreationpaths:
        entry["authskipinvoicecreationpaths"] = list(service.authskipinvoicecreationpaths)
    if service.rewrite_prefix:
        entry["rewrite"] = {"prefix": service.rewrite_prefix}
    return entry
