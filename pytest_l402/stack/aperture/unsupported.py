"""Which settings of Aperture's file are not played here; each is refused by its name."""

from __future__ import annotations

from collections.abc import Iterator

from pytest_l402.ops.aperture.decoding import Section


def unsupported(root: Section) -> Iterator[str]:
    """Return what this gateway cannot do of a file that Aperture starts with, a line for each key."""
    authenticator = root.section("authenticator")
    if not root.flag("insecure"):
        yield "insecure: expected true; TLS is not played here"
    if root.text("dbbackend") != "sqlite":
        yield f"dbbackend: expected sqlite, saw {root.text('dbbackend') or 'none, which is etcd'!r}"
    for key in ("autocert", "servestatic"):
        if root.flag(key):
            yield f"{key}: expected false; it is not played here"
    if authenticator.flag("disable"):
        yield "authenticator.disable: expected false; without an authenticator there is nothing to play"
    if authenticator.text("passphrase"):
        yield "authenticator.passphrase: Lightning Node Connect is not played here"
    for key in ("enablempp", "enablesessions"):
        if authenticator.flag(key):
            yield f"authenticator.{key}: expected false; the Payment scheme is not played here"
    for key in ("hashmail", "prometheus", "admin"):
        if root.section(key).flag("enabled"):
            yield f"{key}.enabled: expected false; it is not played here"
    if root.section("tor").values:
        yield "tor: it is not played here"
    for number, service in enumerate(root.sections("services")):
        if service.section("dynamicprice").flag("enabled"):
            yield f"services[{number}].dynamicprice.enabled: expected false; prices are those of the file"
        if "mpp" in service.text("authscheme"):
            yield f"services[{number}].authscheme: expected l402; the Payment scheme is not played here"
        if service.text("tlscertpath"):
            yield f"services[{number}].tlscertpath: certificates of services are not looked at here"
