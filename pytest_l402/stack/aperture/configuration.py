"""What a rehearsal changes in Aperture's file: where it listens, who makes invoices, where services lead.

All else, whatever it is, stays as it was written. The changed file is a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import yaml

from pytest_l402.ops.aperture.decoding import LOADER, Section, decode
from pytest_l402.ops.aperture.shape import FILE
from pytest_l402.ops.compile.aperture_writer import CLOSED_ADDRESS
from pytest_l402.ops.compile.terms import MSATS_PER_SAT
from pytest_l402.stack.gateway.services import Service

BASE_NAME: Final = "base"
DATABASE_NAME: Final = "aperture.db"
NOBODY: Final = "127.0.0.1:1"
"""Where a closed route leads: a port that nobody may listen at, so that no name has to be looked up."""
ELSEWHERE: Final = (
    *("servername", "autocert", "tor", "profile", "prometheus", "hashmail", "admin", "servestatic"),
    *("staticroot", "postgres", "etcd", "configfile"),
)
"""Keys of the file that open another listener or database, or serve what nobody pays for."""
_ELSEWHERE_OF_A_SERVICE: Final = ("tlscertpath",)
_SECRET: Final = ("passphrase", "password", "user")
_WITHHELD: Final = "withheld"
_WIDE: Final = 2**31 - 1


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

    def led_here(self, address: str) -> dict[str, str]:
        """Return where a service leads, instead of `address`: to the seller, or nowhere as before."""
        return {"address": NOBODY if address == CLOSED_ADDRESS else self.seller, "protocol": "http"}


class Change(NamedTuple):
    """A key of the file that is another in the copy; None where it is not there."""

    key: str
    was: str | None
    now: str | None

    def to_row(self) -> dict[str, str | None]:
        """Return it as a row of the table `configuration_changes`."""
        return {"key": self.key, "was": self.was, "is": self.now}


def placed(text: str, surroundings: Surroundings) -> str:
    """Return the file that a program is started with: a copy of `text` with what `surroundings` change.

    What is not changed is spelled as it was: in Aperture's file `on` is a text, and `010` another number.
    """
    root = yaml.compose(text, Loader=LOADER)
    if not isinstance(root, yaml.MappingNode):
        raise ValueError("expected a mapping of Aperture's settings")
    for key in ELSEWHERE:
        _put(root, key, None)
    for key, value in surroundings.settings().items():
        _put(root, key, value)
    for service in _services(root):
        for key in _ELSEWHERE_OF_A_SERVICE:
            _put(service, key, None)
        found = _find(service, "address")
        address = found.value if isinstance(found, yaml.ScalarNode) else ""
        for key, value in surroundings.led_here(address).items():
            _put(service, key, value)
    copy: str = yaml.serialize(root, Dumper=yaml.SafeDumper, allow_unicode=True, width=_WIDE)
    return copy


def changes(before: str, after: str) -> tuple[Change, ...]:
    """Return each setting that Aperture reads otherwise in one text than in the other, and no secret."""
    was, now = (dict(_settings(decode(text, FILE).root)) for text in (before, after))
    keys = dict.fromkeys((*was, *now))
    return tuple(Change(key, was.get(key), now.get(key)) for key in keys if was.get(key) != now.get(key))


def _settings(section: Section, name: str = "") -> Iterator[tuple[str, str]]:
    for key, value in section.values.items():
        where = f"{name}.{key}".lstrip(".")
        if isinstance(value, Section):
            yield from _settings(value, where)
        elif isinstance(value, list) and any(isinstance(one, Section) for one in value):
            for number, one in enumerate(value):
                yield from _settings(one, f"{where}[{number}]")
        elif value is not None:
            yield where, _WITHHELD if key in _SECRET else _told(value)


def _told(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _services(root: yaml.MappingNode) -> Iterator[yaml.MappingNode]:
    found = _find(root, "services")
    if isinstance(found, yaml.SequenceNode):
        yield from (service for service in found.value if isinstance(service, yaml.MappingNode))


def _find(mapping: yaml.MappingNode, key: str) -> yaml.Node | None:
    return next((value for name, value in mapping.value if name.value == key), None)


def _put(mapping: yaml.MappingNode, key: str, value: object) -> None:
    """Set a key of a mapping, where it stands or at the end; None takes it out."""
    at = next((at for at, (name, _) in enumerate(mapping.value) if name.value == key), len(mapping.value))
    node = yaml.compose(yaml.safe_dump({key: value}), Loader=LOADER)
    assert isinstance(node, yaml.MappingNode)
    mapping.value[at : at + 1] = () if value is None else node.value


def text_of(services: Iterable[Service]) -> str:
    """Return the file that sells these services; prices are whole sats."""
    document = {"services": [_entry(service) for service in services]}
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True, width=_WIDE)


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
