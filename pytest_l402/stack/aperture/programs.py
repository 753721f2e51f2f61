"""Which processes of a gateway's program run in a rehearsal, on which files, with which node and seller."""

from __future__ import annotations

import hashlib
import shutil
import socket
import tempfile
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from pytest_l402.evidence import Part
from pytest_l402.harness.journal import Row
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.ops.aperture.starting import ENVIRONMENT
from pytest_l402.stack.aperture.build_info import BuildInfo, build_info
from pytest_l402.stack.aperture.configuration import DATABASE_NAME, Surroundings, placed, text_of
from pytest_l402.stack.aperture.gateway_process import HOST, GatewayProcess, free_port, lines_of
from pytest_l402.stack.aperture.seat import Seat
from pytest_l402.stack.gateway.services import Service
from pytest_l402.stack.shop import DEFAULT_SERVICES, SELLER_HOST

if TYPE_CHECKING:
    from pytest_l402.stack.stack import Stack

FIRST, DEPLOYED = "first", "deployed"
LND, WAVELENGTH = "lnd", "wavelength"
FACES: Final = (LND, WAVELENGTH)
"""How the stack's node can be asked for invoices: by the calls of lnd, or by that of a wallet daemon."""

LIFE_S: Final = 2
"""How long, in seconds, a credential is good that is sold to expire: it is waited for."""
_MOST_LINES: Final = 1_000


def services_for_real_time() -> tuple[Service, ...]:
    """Return what the stack sells where time cannot be moved: what expires does so soon."""
    return tuple(
        replace(service, timeout_s=LIFE_S) if service.timeout_s else service for service in DEFAULT_SERVICES
    )


@dataclass(frozen=True, slots=True)
class Program:
    """A program as it lies on the disk: what pins it, and what it says of its own build."""

    path: Path
    digest: str
    build: BuildInfo | None

    @classmethod
    def read(cls, path: Path) -> Program:
        """Read a program; raises `OSError`."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        return cls(path, f"sha256:{digest}", build_info(path))

    def __str__(self) -> str:
        built = "" if self.build is None else f" of {self.build}"
        return f"program {self.path.name}{built}, {self.digest}"


@dataclass(frozen=True, slots=True)
class GatewayRun:
    """One process of the program: the how manyth, what for, and the file that it was started with."""

    number: int
    what_for: str
    process: GatewayProcess
    configuration: str
    is_somebodys: bool = False

    @property
    def configuration_digest(self) -> str:
        """The SHA-256 of the file."""
        return f"sha256:{hashlib.sha256(self.configuration.encode()).hexdigest()}"

    def to_row(self, program: Program) -> Row:
        """Return it as a row of the table `gateway_runs`."""
        ended = self.process.ended
        return {
            "run": self.number,
            "whatFor": self.what_for,
            "programDigest": program.digest,
            "configurationDigest": self.configuration_digest,
            # Headers of somebody's own file may hold secrets; what differs from it is told elsewhere.
            "configuration": None if self.is_somebodys else self.configuration,
            "ended": None if ended is None else str(ended),
        }


class Programs:
    """The processes of one program: one with what the stack sells at first, and one with what is deployed.

    `face` is how it gets its invoices, `text` a file of somebody's own that sells `services`. The first
    process is started once and serves one stack after another; a deployment has a process of its own, on a
    port of its own and the same database, and is what is asked while there is one. All that it writes lies in
    one folder, which goes with it.
    """

    def __init__(
        self, program: Path, face: str, services: Iterable[Service] = (), *, text: str | None = None
    ) -> None:
        self.program = Program.read(program)
        self.services = tuple(services) or services_for_real_time()
        self._text = text
        self.face = face
        self.seat = Seat()
        self._folder = Path()
        self._first: GatewayRun | None = None
        self._deployed: GatewayRun | None = None
        self._deployments: list[GatewayRun] = []
        self._written = 0
        self._heard: list[tuple[GatewayRun, int, int]] = []
        self._hear_from = 0
        self._opened = ExitStack()

    @property
    def running(self) -> GatewayProcess:
        """The process that is asked; raises `RuntimeError` before the start."""
        run = self._deployed or self._first
        if run is None:
            raise RuntimeError("the gateway's program was not started: use it in a with block")
        return run.process

    @property
    def deployed(self) -> GatewayRun | None:
        """What was deployed last, whether or not it still runs; None when nothing is, or it was withdrawn."""
        return self._deployed

    @property
    def configuration(self) -> str:
        """The file that the first process was started with; raises `RuntimeError` before the start."""
        if self._first is None:
            raise RuntimeError("the gateway's program was not started: use it in a with block")
        return self._first.configuration

    @property
    def database(self) -> Path:
        """Where it keeps its root keys."""
        return self._folder / DATABASE_NAME

    def start(self) -> Self:
        """Start the first process, and whoever it asks.

        Raises:
            ImportError: the face is lnd, and the extra `[aperture]` is not installed.
            ProgramFailed: it does not start.
        """
        self._folder = Path(tempfile.mkdtemp(prefix="pytest-l402-gateway-"))
        with ExitStack() as opened:
            opened.callback(shutil.rmtree, self._folder, ignore_errors=True)
            self._seller = opened.enter_context(LoopbackServer(self.seat, host=SELLER_HOST))
            self._invoices = self._open_face(opened)
            self._opened = opened.pop_all()
        try:
            self._first = self._new(self._text or text_of(self.services), FIRST)
            self._first.process.start()
        except BaseException:
            self.stop()
            raise
        return self

    def sit_down(self, stack: Stack) -> None:
        """Let this stack's node and seller be asked from now on.

        What an earlier stack left behind is gone: its deployment, and a process that did not live through it.

        Raises:
            ProgramFailed: the program does not start again.
        """
        self.withdraw()
        if self.running.ended is not None:
            self.stop()
            self.start()
        self.seat.take(stack)
        self._deployments.clear()
        self._heard.clear()
        self._hear_from = self.running.printed

    def stand_up(self) -> None:
        """Let no stack be asked any more.

        Raises:
            ProgramFailed: a process ended while it was to sell.
        """
        self.seat.leave()
        for run in self.runs():
            run.process.raise_if_gone()

    def deploy(self, services: Iterable[Service], *, spoiled_by: str | None = None) -> None:
        """Start the program with a file that sells these services, in place of what was deployed before.

        `spoiled_by` lets it not start: `file_unreadable`, a file that is no YAML; `port_taken`, by another.

        Raises:
            ProgramFailed: it does not start, or what ran before does not end.
        """
        before, self._deployed = self._deployed, self._new(text_of(services), DEPLOYED)
        self._deployments.append(self._deployed)
        self._hear_from = 0
        with self.heard(), _ended_meanwhile(before), ExitStack() as spoiled:
            if spoiled_by == "file_unreadable":
                self._deployed.process.file.write_text(f"{self._deployed.configuration}services: [\n")
            if spoiled_by == "port_taken":
                spoiled.enter_context(socket.create_server((HOST, self._deployed.process.port)))
            self._deployed.process.start()

    def withdraw(self) -> None:
        """End what was deployed: what was started first is asked again.

        Raises:
            ProgramFailed: it does not end.
        """
        deployed, self._deployed = self._deployed, None
        if deployed is not None:
            deployed.process.stop()
        if self._first is not None:
            self._hear_from = self._first.process.printed

    @contextmanager
    def heard(self, *, counts: bool = True) -> Iterator[None]:
        """Take what is printed by the end of the block for what the stack has caused, if that `counts`.

        What a process prints later than it answers is taken with what comes next.
        """
        run, process = self._deployed or self._first, self.running
        assert run is not None
        try:
            yield
        finally:
            end = process.printed
            if counts:
                self._heard.append((run, self._hear_from, end))
            self._hear_from = end

    def runs(self) -> tuple[GatewayRun, ...]:
        """Return the processes that the stack of now has seen: the first one, and each that was deployed."""
        return (*filter(None, (self._first,)), *self._deployments)

    def tables(self) -> dict[str, list[Row]]:
        """Return what ran for the stack of now, on which files, and what it printed, without secrets."""
        lines: list[str] = []
        for run, start, end in self._heard:
            printed = run.process.log.read_bytes()[start:end]
            lines += [f"{run.number}: {line}" for line in lines_of(printed)]
        left_out = len(lines) - _MOST_LINES
        if left_out > 0:
            lines = [f"{left_out} lines are left out", *lines[left_out:]]
        return {
            "gateway_runs": [run.to_row(self.program) for run in self.runs()],
            "gateway_log": [{"line": line} for line in lines],
        }

    def parts(self, role: str) -> tuple[Part, ...]:
        """Return the program, and the file that it was started with at first."""
        assert self._first is not None
        file = f"aperture.yaml, {self._first.configuration_digest}"
        held_by = f"program {self.program.path.name}"
        return Part(role, str(self.program)), Part(f"{role} configuration", file, held_by=held_by)

    def stop(self) -> None:
        """End all of it; may be called twice.

        Raises:
            ProgramFailed: a process does not end by itself; it was killed.
        """
        first, self._first = self._first, None
        with self._opened:
            try:
                self.withdraw()
            finally:
                if first is not None:
                    first.process.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _open_face(self, opened: ExitStack) -> dict[str, str]:
        if self.face == LND:
            from pytest_l402.stack.aperture.lnd_face import LndFace

            lnd = LndFace(self.seat, self._folder)
            opened.callback(lnd.stop)
            return lnd.start().settings | {"tlspath": "tls.cert", "macdir": "."}
        from pytest_l402.stack.aperture.wavelength_face import WavelengthFace

        wallet = WavelengthFace(self.seat)
        opened.callback(wallet.stop)
        return wallet.start().settings

    def _new(self, text: str, what_for: str) -> GatewayRun:
        """Write a file of Aperture's as it is rehearsed, and return what is to be started with it."""
        self._written += 1
        port = free_port()
        file, log = (self._folder / f"{name}-{self._written}" for name in ("aperture.yaml", "log"))
        seller = self._seller.url.removeprefix("http://")
        copy = placed(text, Surroundings(port, self._invoices, seller))
        file.write_text(copy)
        is_somebodys = text == self._text
        process = GatewayProcess(
            self.program.path,
            self._folder,
            file,
            port,
            log,
            what_for == FIRST,
            tuple(ENVIRONMENT.findall(copy)) if is_somebodys else (),
        )
        return GatewayRun(self._written, what_for, process, copy, is_somebodys)


@contextmanager
def _ended_meanwhile(run: GatewayRun | None) -> Iterator[None]:
    """Let a process end while the block starts another one; raises `ProgramFailed` if it does not."""
    with ThreadPoolExecutor(1) as pool:
        ending = None if run is None else pool.submit(run.process.stop)
        yield
        if ending is not None:
            ending.result()
