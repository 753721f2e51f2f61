"""`pytest-l402 gateway` with one line altered, as by a careless change: `faulty_gateway.py FAULT FLAGS…`."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from types import CodeType
from typing import NamedTuple


class Fault(NamedTuple):
    """A line of a module and what stands there instead."""

    module: str
    line: str
    instead: str


_GATEWAY, _MINT = "stack.gateway.gateway", "stack.gateway.mint"
_CAVEATS, _BACKEND = "protocol.caveats", "stack.aperture.backend"
_INVOICE = 'invoice = self._node.create_invoice(service.price_msats, "L402", exchange.request_id)'
_FORWARD = "response = self._ask_seller(request, exchange, service)"
_ASK = "return self._seller_api.handle(onward)"
_TARGET = '("?" if request.query or request.bare_question else "") + request.query'
_ROW = 'row = self._database.execute("SELECT secret FROM secrets WHERE hash = ?", (digest,)).fetchone()'

ENDS = {
    "ends in the middle": Fault(_GATEWAY, _FORWARD, f"import os; os._exit(3); {_FORWARD}"),
    "does not stop": Fault(
        "stack.aperture.program", "signal.sigwait(_ENDS)", "while signal.sigwait(_ENDS): pass"
    ),
}
"""Faults of the process: it does not live through what it is asked, or outlives what it is told."""

FAULTS = {
    "preimage not checked": Fault(_MINT, "if credential.preimage.payment_hash != payment_hash:", "if False:"),
    "signature not checked": Fault(_MINT, "if not macaroon.verify(minted.root_key):", "if False:"),
    "caveats ignored": Fault(_MINT, "check_caveats(macaroon.caveats, service.name, now_s)", "pass"),
    "another service's credential taken": Fault(
        _CAVEATS, "if allowed is not None and service not in allowed:", "if False:"
    ),
    "expired credential taken": Fault(
        _CAVEATS,
        '_check_expiry(_values(caveats, service.encode() + b"_valid_until"), service, now_unix_s)',
        "pass",
    ),
    "good ten times as long": Fault(
        "stack.gateway.services", "now_s + self.timeout_s", "now_s + 10 * self.timeout_s"
    ),
    "revoked credential taken": Fault(
        "stack.aperture.root_keys",
        _ROW,
        f"row = self.__dict__.get(digest) or {_ROW[6:]}; self.__dict__[digest] = row",
    ),
    "credential opens once": Fault(
        "stack.aperture.root_keys",
        _ROW,
        f"{_ROW}; self._database.execute('DELETE FROM secrets WHERE hash = ?', (digest,))",
    ),
    "no credential taken": Fault(_MINT, "if minted is None:", "if True:"),
    "price a sat too high": Fault(_GATEWAY, _INVOICE, _INVOICE.replace("msats,", "msats + 1_000,")),
    "invoice used again": Fault(
        _GATEWAY, _INVOICE, f"invoice = self.__dict__.get('old') or {_INVOICE[10:]}; self.old = invoice"
    ),
    "two invoices for one challenge": Fault(_GATEWAY, _INVOICE, f"{_INVOICE[10:]}; {_INVOICE}"),
    "401 for 402": Fault("stack.gateway.answers", '402, "payment required"', '401, "payment required"'),
    "402 that caches keep": Fault("stack.gateway.answers", '"no-store"', '"max-age=60"'),
    "service asked before payment": Fault(
        _GATEWAY, _INVOICE, f"self._ask_seller(request, exchange, service); {_INVOICE}"
    ),
    "service asked twice": Fault(
        _GATEWAY, _FORWARD, f"self._ask_seller(request, exchange, service); {_FORWARD}"
    ),
    "answer cut": Fault(_GATEWAY, _ASK, f"cut = {_ASK[7:]}; return replace(cut, body=cut.body[:20])"),
    "body dropped": Fault(_GATEWAY, _ASK, _ASK.replace("onward", 'replace(onward, body=b"")')),
    "query dropped": Fault(_BACKEND, _TARGET, '""'),
    "request id not passed on": Fault(_GATEWAY, "else request.header(REQUEST_ID_HEADER)", "else None"),
    "credential not passed on": Fault(
        _BACKEND,
        'if name.lower() != "content-length":',
        'if name.lower() not in ("content-length", "authorization"):',
    ),
    "service's error told as 200": Fault(
        "stack.gateway.answers",
        "return Response(response.status, tuple(lines), response.body)",
        "return Response(200, tuple(lines), response.body)",
    ),
    "free path challenged": Fault(
        "stack.gateway.services", 'return self.auth != "off" and not any', "return not any"
    ),
}


class _Altered(SourceFileLoader):
    fault: Fault

    def get_code(self, fullname: str) -> CodeType:
        source = self.get_source(fullname)
        assert source is not None
        assert source.count(self.fault.line) == 1, self.fault
        return compile(source.replace(self.fault.line, self.fault.instead), self.path, "exec")


class _Finder:
    """Hands out one module altered, before the one that is installed is found."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != f"pytest_l402.{self.fault.module}":
            return None
        spec = PathFinder.find_spec(name, path)  # type: ignore[arg-type]
        assert spec is not None
        assert isinstance(spec.loader, SourceFileLoader)
        spec.loader = _Altered(spec.loader.name, spec.loader.path)
        spec.loader.fault = self.fault
        return spec


if __name__ == "__main__":
    sys.meta_path.insert(0, _Finder((ENDS | FAULTS)[sys.argv[1]]))  # type: ignore[arg-type]
    from pytest_l402.commands.gateway import sell

    sys.exit(sell(sys.argv[2:]))
