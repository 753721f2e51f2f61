"""A program as the stack's gateway: what is asked of it is asked over its port, or of its database."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from hashlib import sha256
from typing import Final

from pytest_l402.evidence import Part
from pytest_l402.harness.journal import Row
from pytest_l402.harness.network import REQUEST_ID_HEADER, NetworkUnreachable, Request, Response
from pytest_l402.stack.aperture.backend import HttpBackend
from pytest_l402.stack.aperture.gateway_process import HOST
from pytest_l402.stack.aperture.program_deployer import ProgramDeployer
from pytest_l402.stack.aperture.programs import Programs
from pytest_l402.stack.gateway.gateway import HEALTH_PATH
from pytest_l402.stack.gateway.services import Service, host_as_sent
from pytest_l402.stack.gateway.wire import lenient_macaroon, offered_by
from pytest_l402.stack.roles import PlayedByProgram
from pytest_l402.stack.steady_state import REQUEST_ID_PREFIX

_FRAMING: Final = frozenset({"host", "connection", "keep-alive", "transfer-encoding"})
_WAITS_S: Final = 10.0
_BAD_GATEWAY: Final = (503, (("Content-Type", "text/plain; charset=utf-8"),), b"the gateway does not run\n")


class ProgramGateway(PlayedByProgram):
    """A program in the place of the stack's gateway, as `handle` has it; an edge of ours stands in front.

    `services` are what it sells. Health is the edge's to say: whether the program accepts connections.
    """

    deployed_by = ProgramDeployer

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._backend = HttpBackend()
        self._identifiers: dict[str, list[bytes]] = {}
        self.services = programs.services

    @property
    def programs(self) -> Programs:
        """What runs, and has run."""
        return self._programs

    def handle(self, request: Request) -> Response:
        """Answer with what the program answers.

        Raises:
            NetworkUnreachable: it accepts no connection, or its answer breaks off.
        """
        running = self._programs.running
        if request.path == HEALTH_PATH:
            return Response(200, (), b"ok\n") if running.listens else Response(*_BAD_GATEWAY)
        lines = [line for line in request.headers if line[0].lower() not in _FRAMING]
        onward = replace(
            request,
            scheme="http",
            host=f"{HOST}:{running.port}",
            headers=(("Host", host_as_sent(request)), *lines),
        )
        probes = (request.header(REQUEST_ID_HEADER) or "").startswith(REQUEST_ID_PREFIX)
        try:
            with self._programs.heard(counts=not probes):
                response = self._backend.handle(onward)
        except NetworkUnreachable as error:
            ended = running.ended
            reason = error.reason if ended is None else f"the gateway's program has ended with {ended}"
            raise NetworkUnreachable(request.host, reason) from None
        self._remember(response)
        return response

    def parts(self, role: str) -> tuple[Part, ...]:
        """Return the program, and the file that it was started with at first."""
        return self._programs.parts(role)

    def tables(self) -> dict[str, list[Row]]:
        """Return what ran, on which files, and what it printed: `gateway_runs` and `gateway_log`."""
        return self._programs.tables()

    def revoke(self, payment_hash: str) -> int:
        """Delete the root keys of the credentials bought with this payment and return how many there were.

        As an operator does it, who has nothing but the program's database: the row of table `secrets` whose
        `hash` is the SHA-256 of the macaroon's identifier.
        """
        digests = [sha256(each).digest() for each in self._identifiers.get(payment_hash, ())]
        with closing(sqlite3.connect(self._programs.database, timeout=_WAITS_S)) as database, database:
            rows = (database.execute("DELETE FROM secrets WHERE hash = ?", (each,)) for each in digests)
            return sum(row.rowcount for row in rows)

    def load(self, services: Iterable[Service], *, health_status: int = 200) -> None:
        """Write a file that sells these services, and start the program anew with it.

        With a `health_status` other than 200 it is killed as soon as it runs.

        Raises:
            ProgramFailed: the program does not start with that file; nothing is sold then.
        """
        self.services = tuple(services)
        if self.services == self._programs.services:
            self._programs.withdraw()
            return
        self._programs.deploy(self.services)
        if health_status != 200:
            self._programs.running.kill()

    def _remember(self, response: Response) -> None:
        offered = offered_by(response)
        macaroon = None if offered is None else lenient_macaroon(offered.token)
        if offered is not None and offered.payment_hash is not None and macaroon is not None:
            self._identifiers.setdefault(offered.payment_hash, []).append(macaroon.identifier)
