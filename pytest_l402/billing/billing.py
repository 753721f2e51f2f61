"""How a billing service on a log is the system under rehearsal, and what a drill does to it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, Self, TypeVar
from urllib.parse import quote

from pytest_l402.billing.backend import BackendStub
from pytest_l402.billing.cache_client import CacheRefused, CacheUnavailable
from pytest_l402.billing.cache_server import CacheServer
from pytest_l402.billing.evidence_of_log import events_in, gauges_of, log_tables
from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.guard import CONSTRAINTS
from pytest_l402.billing.processes import Zygote, zygote_or_own
from pytest_l402.billing.rows import FORMS
from pytest_l402.billing.service_process import Answer, ServiceProcess
from pytest_l402.billing.settings import Periods, ServiceSettings
from pytest_l402.billing.standing import known_in, standing_checks
from pytest_l402.boundary.whole_files import write_whole
from pytest_l402.evidence import Check, Part, parts_of
from pytest_l402.evidence.system import When
from pytest_l402.harness.deadline import Deadline, now_s
from pytest_l402.harness.tcp_proxy import TcpProxy

__all__ = ["API", "Billing", "NotSoInTime"]

Row = dict[str, Any]
T = TypeVar("T")

API: Final = "/api/v1"
TREASURY: Final = "0xTREASURY"
_POLL_S: Final = 0.01


class NotSoInTime(TimeoutError):  # noqa: N818 - the name of the condition
    """Something that a drill waited for did not come in time."""


class Billing:
    """A billing service with its log, its cache behind a proxy, and its backend; a context manager.

    No instance runs until `start` is called. `faults` break every instance in these ways. `zygote` starts
    all that it is made of; without, it has one of its own.
    """

    name: Final = "pytest-l402 billing service"
    version: Final = "1"
    digest: Final = None

    def __init__(
        self,
        *,
        faults: Sequence[BillingFault] = (),
        scale: float = 0.01,
        zygote: Zygote | None = None,
    ) -> None:
        self.faults, self.periods = tuple(faults), Periods(scale)
        self.backend = BackendStub()
        self.cache = CacheServer(zygote=zygote)
        self._given = zygote
        self.treasury = TREASURY
        self._secrets = {name: secrets.token_hex(16) for name in ("ADMIN_TOKEN", "VIEWER_TOKEN")}
        self._step = "start"
        self._rows: dict[str, list[Row]] = {"calls": [], "readiness": [], "metrics": [], "times": []}
        self._instances: list[ServiceProcess] = []
        self._used: ServiceProcess | None = None
        self._probes = 0
        self._promised: list[tuple[str, str]] = []
        self._opened = contextlib.ExitStack()
        self._told = threading.Lock()

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as unless_ready:
            self._zygote = unless_ready.enter_context(zygote_or_own(self._given))
            self.cache.zygote = self._zygote
            self.folder = unless_ready.enter_context(self._zygote.a_folder())
            (self.folder / "log").mkdir()
            self.constrain(CONSTRAINTS)
            unless_ready.enter_context(self.backend)
            unless_ready.enter_context(self.cache)
            self.proxy = unless_ready.enter_context(TcpProxy(("127.0.0.1", self.cache.port)))
            self._opened = unless_ready.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    # What a drill does.

    def start(self, instance: str = "one", *, wait_ready: bool = True, **settings: Any) -> ServiceProcess:
        """Start one more instance on the log; `settings` are those of `ServiceSettings`."""
        places = {
            "log": self.folder / "log",
            "constraints": self.folder / "constraints.json",
            "events": self.folder / f"{instance}.events",
            "cache": self.proxy.port,
            "backend": self.backend.url,
        }
        told = ServiceSettings(
            instance, **{**places, "scale": self.periods.scale, "faults": self.faults, **settings}
        )
        process = ServiceProcess(told, self.treasury, self._secrets, self._hear, treasury_elsewhere=TREASURY)
        process.start(self._zygote)
        # Nothing is waited for: what it has not written into its log was never promised to anybody.
        self._opened.callback(process.process.end)
        self._instances.append(process)
        if wait_ready:
            self.until(f"{instance} ready", lambda: process.get("/health/ready").status == 200)
        return process

    def open(self, instance: str = "one", *flags: str, **settings: Any) -> ServiceProcess:
        """Start an instance, turn flags on (billing, credits and x402 if none is named), credit `ann`."""
        process = self.start(instance, **settings)
        for flag in flags or ("billing", "credits", "x402"):
            self.toggle(flag, True)
        self.purchase("transfer-0", 1_000_000)
        return process

    def restart(self, process: ServiceProcess, **settings: Any) -> ServiceProcess:
        """Kill an instance by SIGKILL and start it anew."""
        self.kill(process)
        return self.start(process.instance, **settings)

    def kill(self, process: ServiceProcess) -> None:
        """Kill an instance by SIGKILL."""
        process.process.sigkill()
        self._instances.remove(process)

    @property
    def service(self) -> ServiceProcess:
        """The instance that is asked: the one that was started last and was not killed."""
        return self._used or self._instances[-1]

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Write this name into the row of each call that is made in the block."""
        before, self._step = self._step, name
        try:
            yield
        finally:
            self._step = before

    def toggle(self, flag: str, enabled: object, token: str = "ADMIN_TOKEN") -> Answer:  # noqa: S107 - a name
        """Ask for a flag; `token` names the secret that is shown."""
        told = {"flag": flag, "enabled": enabled}
        return self.service.post(f"{API}/admin/feature-flags", told, token=token)

    def purchase(self, transfer: str, msats: object = 1000, recipient: str | None = None) -> Answer:
        """Buy credit for `ann`."""
        told = {"account": "ann", "transfer": transfer, "amountMsats": msats}
        told["recipient"] = recipient or self.treasury
        answer = self.service.post(f"{API}/credits/purchase", told)
        return self._acknowledged("credit_mint", transfer, answer)

    def reserve(self, entry: str, msats: object = 100) -> Answer:
        """Hold credit of `ann` for an entry."""
        told = {"account": "ann", "entry": entry, "amountMsats": msats}
        answer = self.service.post(f"{API}/billing/reserve", told)
        return self._acknowledged("billing_reserve", entry, answer)

    def count_losses(self, procedure: str) -> None:
        """Write down how many records that were acknowledged so far the log has lost; none may be."""
        records = log_tables(self.folder / "log", {})["log_records"]
        promised = {*self._promised}
        lost = promised - known_in(records)
        self.note(
            "losses",
            procedure=procedure,
            what="records",
            acknowledged=len(promised),
            lost=len(lost),
            declared=0,
        )

    def commit(self, entry: str, msats: object = 100, **more: Any) -> Answer:
        """Charge an entry."""
        told = {"entry": entry, "costMsats": msats, **more}
        answer = self.service.post(f"{API}/billing/commit", told)
        return self._acknowledged("billing_commit", entry, answer)

    def release(self, entry: str) -> Answer:
        """Give back what an entry holds."""
        answer = self.service.post(f"{API}/billing/release", {"entry": entry})
        return self._acknowledged("billing_release", entry, answer)

    def quote(self, resource: str = "r") -> Answer:
        """Ask for the price of a resource."""
        return self.service.post(f"{API}/x402/quotes", {"resource": resource, "amountMsats": 10})

    def pay(self, nonce: str, to: str | None = None, msats: int = 10, resource: str = "r") -> Answer:
        """Pay for a resource; the same nonce is the same payment."""
        told = {
            "resource": resource,
            "account": "ann",
            "from": "0xB",
            "to": to or self.treasury,
            "nonce": nonce,
        }
        answer = self.service.post(
            f"{API}/x402/pay", {**told, "amountMsats": msats, "validBeforeMs": 4_000_000_000_000}
        )
        return self._acknowledged("x402_settled", str(answer.document.get("payment")), answer)

    def resolve(self, entry: str) -> Answer:
        """Decide about a poisoned entry."""
        return self.service.post(f"{API}/admin/dead-letters/{quote(entry, safe='')}/resolve")

    def constrain(self, constraints: Mapping[str, str]) -> None:
        """Deploy these constraint expressions."""
        # Whole at once: it is read again and again meanwhile.
        write_whole(self.folder / "constraints.json", json.dumps(dict(constraints)).encode())

    def observe(self, when: str, process: ServiceProcess | None = None) -> Row:
        """Write down what an instance says of itself now, and its metrics."""
        process = process or self.service
        answer = process.get("/health/ready")
        row = {"when": when, "status": answer.status, **answer.document}
        before, told = gauges_of(self.folder / "log"), self.metrics(process)
        after = gauges_of(self.folder / "log") if row.get("writer") else {}
        with self._told:
            self._rows["readiness"].append(row)
            self._rows["metrics"] += [
                {
                    "when": when,
                    "instance": process.instance,
                    "name": name,
                    "value": value,
                    # Only where nothing was written meanwhile, and of who writes.
                    "logValue": after.get(name) if before == after else None,
                }
                for name, value in told.items()
            ]
        return row

    def metrics(self, process: ServiceProcess | None = None) -> dict[str, int]:
        """The metrics of an instance now."""
        lines = (process or self.service).get("/metrics").text.splitlines()
        return {
            name: int(value) for name, _, value in (line.partition(" ") for line in lines) if value.isdigit()
        }

    def until(self, what: str, reached: Callable[[], T], wait_s: float = 10.0) -> T:
        """Ask again and again until something holds, and return it. Raises `NotSoInTime`, which names it."""
        deadline = Deadline(wait_s)
        while not (found := reached()):
            if deadline.over:
                raise NotSoInTime(
                    f"billing drill: expected {what} within {wait_s:g} s, saw it not so; see service_events"
                )
            time.sleep(_POLL_S)
        return found

    @contextlib.contextmanager
    def timed(self, procedure: str, what: str, declared_ms: float) -> Iterator[None]:
        """Measure how long the block takes, against what is declared."""
        begun = now_s()
        yield
        row = {
            "procedure": procedure,
            "what": what,
            "elapsedMs": (now_s() - begun) * 1000,
            "declaredMs": declared_ms,
        }
        self._rows["times"].append(row)

    def timed_until(
        self, procedure: str, what: str, declared_ms: float, reached: Callable[[], object]
    ) -> None:
        """Measure how long it takes until something holds; at three times what is declared it gives up."""
        with self.timed(procedure, what, declared_ms), contextlib.suppress(NotSoInTime):
            self.until(what, reached, declared_ms * 3 / 1000)

    def note(self, table: str, **row: Any) -> None:
        """Write a row into a table of the drill's own, beside those of the system."""
        self._rows.setdefault(table, []).append(row)

    def probe(self, when: str) -> dict[str, int]:
        """Ask for every feature once, and write down with which status each was answered."""
        self._probes += 1
        name = f"probe-{self._probes}"
        found = {
            "billing": self.reserve(name, 1).status,
            "credits": self.purchase(name, 1).status,
            "nft": self.service.post(f"{API}/nft/issue").status,
            "onboarding": self.service.post(f"{API}/onboarding/start").status,
            "x402": self.quote(name).status,
        }
        if found["billing"] == 200:
            self.release(name)
        self.note("probes", when=when, **found)
        return found

    def flags(self, when: str) -> dict[str, bool]:
        """Ask which flags are on, and write it down."""
        found: dict[str, bool] = self.service.get(f"{API}/admin/feature-flags").document.get("flags", {})
        self.note("flags", when=when, **found)
        return found

    def poisoned(self, count: int) -> None:
        """Wait until so many entries are poisoned, or until that takes far too long."""
        with contextlib.suppress(NotSoInTime):
            self.until(
                f"{count} poisoned", lambda: self.metrics().get("billing_dead_letter_poison") == count, 5.0
            )

    @contextlib.contextmanager
    def using(self, process: ServiceProcess) -> Iterator[None]:
        """Ask this instance in the block."""
        before, self._used = self._used, process
        try:
            yield
        finally:
            self._used = before

    @contextlib.contextmanager
    def in_background(self, *asked: Callable[[], object]) -> Iterator[None]:
        """Ask several things, each on a thread of its own, while the block runs."""
        threads = [threading.Thread(target=ask) for ask in asked]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            for thread in threads:
                thread.join()

    # What the system says of itself.

    def parts(self) -> Sequence[Part]:
        """Return who plays which role."""
        cache = Part("cache", self.cache.kind, None, None)
        return (*parts_of("billing service", self), cache, *parts_of("backend", self.backend))

    def fields(self) -> Mapping[str, type[Any]]:
        """Return what the rows of each table are."""
        return FORMS

    def secret_digests(self) -> Iterable[bytes]:
        """Return the digests of the admin tokens."""
        return [hashlib.sha256(secret.encode()).digest() for secret in self._secrets.values()]

    def tables(self) -> Mapping[str, Iterable[Row]]:
        """Return what log, cache, backend and instances say, and what was asked and measured."""
        cached: dict[str, int] = {}
        with contextlib.suppress(CacheUnavailable, CacheRefused):
            flat = self.cache("HGETALL", "balance")
            cached = {name: int(value) for name, value in zip(flat[::2], flat[1::2], strict=True)}
        events = [row for path in sorted(self.folder.glob("*.events")) for row in events_in(path)]
        with self._told:
            own = {name: list(rows) for name, rows in self._rows.items()}
        return {
            **own,
            "acknowledged": [{"type": kind, "id": name} for kind, name in self._promised],
            **log_tables(self.folder / "log", cached),
            "backend_calls": self.backend.book,
            "service_events": events,
        }

    def steady_state(self, when: When) -> Iterable[Row]:
        """Return nothing: no instance runs yet when the drill begins."""
        return ()

    def standing_checks(self) -> Sequence[Check]:
        """Return what holds of every drill."""
        return standing_checks()

    def _acknowledged(self, kind: str, name: str, answer: Answer) -> Answer:
        if answer.status == 200:
            self._promised.append((kind, name))
        return answer

    def _hear(self, instance: str, method: str, path: str, answer: Answer) -> None:
        if path in ("/health/ready", "/metrics"):
            return
        row = {"step": self._step, "instance": instance, "method": method, "path": path.partition("?")[0]}
        with self._told:
            self._rows["calls"].append(
                {
                    **row,
                    "status": answer.status,
                    "code": answer.code,
                    "elapsedMs": round(answer.elapsed_ms, 3),
                }
            )
