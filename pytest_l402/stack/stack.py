"""How the parts of the stack are put together, and what evidence they have left so far."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, cast

import httpx

from pytest_l402.boundary import read_json, read_json_lines
from pytest_l402.evidence.tables import Evidence
from pytest_l402.harness.clock import Clock
from pytest_l402.harness.counted import counted, heard_by, part_behind, times_asked
from pytest_l402.harness.harness import Harness
from pytest_l402.harness.journal import Row
from pytest_l402.harness.network import REQUEST_ID_HEADER, Request
from pytest_l402.harness.network_transport import NetworkTransport
from pytest_l402.harness.randomness import Randomness
from pytest_l402.harness.stuck import STUCK_AFTER_S, ended_when_stuck
from pytest_l402.stack.books.projection import Projection
from pytest_l402.stack.books.store import SettlementStore
from pytest_l402.stack.buyer.artifact_on_disk import ArtifactOnDisk
from pytest_l402.stack.buyer.attributed import AttributedExecutor, Buyer
from pytest_l402.stack.buyer.executor import DEFAULT_USER, Executor
from pytest_l402.stack.buyer.forger import Forger
from pytest_l402.stack.buyer.policy import BuyerPolicy
from pytest_l402.stack.buyer.task_register import TaskRegister
from pytest_l402.stack.buyer.wallet import Wallet
from pytest_l402.stack.buyer.wallet_log import WalletLog
from pytest_l402.stack.control.control_plane import ControlPlane
from pytest_l402.stack.control.worker_api import ControlApi
from pytest_l402.stack.faults import GatewayDown
from pytest_l402.stack.gateway.edge import Edge
from pytest_l402.stack.gateway.front import Front
from pytest_l402.stack.gateway.gateway import Gateway
from pytest_l402.stack.gateway.lightning_node import LightningNode
from pytest_l402.stack.gateway.profile import APERTURE, GatewayProfile
from pytest_l402.stack.gateway.seller_api import SellerApi
from pytest_l402.stack.gateway.services import Service, match_service
from pytest_l402.stack.gateway.way import Way
from pytest_l402.stack.lifetime import Lifetime
from pytest_l402.stack.roles import (
    ASKED_BY,
    NotAbleError,
    NotRunError,
    PlayedByProgram,
)
from pytest_l402.stack.shop import CONTROL_HOST, DEFAULT_SERVICES
from pytest_l402.stack.sold import Offer, Sold, sold_by
from pytest_l402.stack.steady_state import (
    WHO_TELLS,
    When,
    is_of_steady_state,
    left_over,
    reachable,
    steady_rows,
)

if TYPE_CHECKING:
    from pytest_l402.ops.reconcile.reconciler import Reconciler
    from pytest_l402.ops.reconcile.steps import Failpoint
    from pytest_l402.stack.operations import StackOps

LOCAL_ARTIFACT_NAME = "l402-local-node-smoke-artifact.json"

_SQL_TABLES = ("invoices", "settlements", "conflicts")
_STUCK = (
    "pytest-l402: expected the client to let other threads of this process run while it waits for the stack, "
    "saw the interpreter held, so that the stack cannot answer; let the test ask for l402_served, which "
    "serves the stack from a process of its own, or put the client into a process of its own"
)
_AT_A_PORT = "127.0.0.1:8081"
ROLES = ("gateway", "control_plane", "settlement_store", "wallet", "executor")


@dataclass(frozen=True, slots=True)
class Served:
    """The base URLs of a stack on loopback, without a trailing slash."""

    gateway_url: str
    control_url: str


class _Part:
    """Whatever plays a role right now: asked anew at each use, so that a part can be replaced underway."""

    def __init__(self, stack: Stack, role: str) -> None:
        self._stack = stack
        self._role = role

    def __getattr__(self, name: str) -> Any:
        return getattr(getattr(self._stack, self._role), name)


def _services_of(gateway: object) -> tuple[Service, ...]:
    """Return what a gateway says that it sells now; nothing where it says so in no words of ours."""
    found = getattr(gateway, "services", None)
    is_told = isinstance(found, tuple) and all(isinstance(each, Service) for each in found)
    return cast("tuple[Service, ...]", found) if is_told else ()


class Stack:
    """The system under rehearsal: one of each part, on one clock, from one seed.

    It sells `services`, or what `sold` has. The same seed and the same calls leave the same rows. Time moves
    only by the clock. Inside `online()` every httpx client of the process reaches its hosts, inside `serve()`
    any program of the machine does. Close it, or use it in a with block. `gateway`, `control_plane`,
    `settlement_store`, `wallet` and `executor` are roles: what `replace` puts in their place is used by all
    others from then on.
    """

    def __init__(
        self,
        seed: int | str = 402,
        *,
        clock: Clock | None = None,
        randomness: Randomness | None = None,
        artifact_dir: Path | None = None,
        services: tuple[Service, ...] = DEFAULT_SERVICES,
        sold: Sold | None = None,
        profile: GatewayProfile = APERTURE,
        policy: BuyerPolicy | None = None,
        database: Path | str = ":memory:",
        ops_folder: Path | None = None,
    ) -> None:
        harness = self.harness = Harness(seed, clock=clock, randomness=randomness)
        self.clock, self.journal = harness.clock, harness.journal
        self.faults, self.network = harness.faults, harness.network
        self.artifact_dir = artifact_dir
        # Returns a descriptor of its own, of what somebody reads, whoever captures what this process writes.
        self.open_stderr: Callable[[], int] = partial(os.dup, 2)
        sold = self.sold = sold_by(services) if sold is None else sold
        services, self.paywalls = sold.services, sold.paywalls
        self._transport = NetworkTransport(self.network)
        self.client = httpx.Client(
            base_url=f"https://{sold.host}", transport=self._transport, trust_env=False
        )
        self.seller_api = SellerApi(harness, self._request_at_the_edge)
        self.projection = Projection(harness)
        self.node = LightningNode(harness.derive("node"), during=self._request_at_the_edge)
        self.settlement_store = self._store = SettlementStore(harness, self.projection.observe, database)
        self.control_plane = ControlPlane(harness.derive("control plane"))
        for paywall in self.paywalls:
            self.control_plane.create_paywall(paywall)
        self.wallet = Wallet(harness, self.node, balance_msats=sold.balance_msats)
        self.gateway = self._built_in_gateway = Gateway(
            harness.derive("gateway"),
            services,
            node=self.node,
            seller_api=self.seller_api,
            control_plane=self._part("control_plane"),
            settlements=self._part("settlement_store"),
            profile=replace(profile, strict_verify=True) if sold.strict_verify else profile,
            blocklist=sold.blocklist,
        )
        self._ops_folder = ops_folder
        self._ops: StackOps | None = None
        self._replacements: list[tuple[str, Any]] = []
        self._asked_before: dict[int, int] = {}
        self._probes_at_the_edge = 0
        self._counts_nothing = False
        self._executors = 0
        self._made: Counter[str] = Counter()
        # Where the last full flow left its artifacts, which are evidence.
        self.flow_folder: Path | None = None
        self._artifact = ArtifactOnDisk()
        self.executor = self.executor_at(self.client, policy=policy)
        self._telling: dict[int, bool] = {}
        self._players_asked: list[object] = []
        self.front = Front(
            harness.derive("front"),
            self._part("gateway"),
            self._services_now,
            node=self.node,
            control_plane=self._part("control_plane"),
            settlements=self._part("settlement_store"),
            tells=self._gateway_tells,
            book=lambda: len(self.seller_api.book),
        )
        self._way = Way(harness.derive("way"), self.front, self.node)
        self.edge = Edge(harness, self._way, self.seller_api, self.node.preimages_in)
        for host in sold.hosts:
            self.network.mount(host, self.edge, down_when=GatewayDown)
        self.worker_api = ControlApi(harness.derive("control api"), self.control_plane, self.settlement_store)
        self.network.mount(CONTROL_HOST, self.worker_api)
        if ops_folder is not None:
            # A gateway with a disk starts with what it ran when its process ended.
            try:
                _ = self.ops
            except BaseException:
                self.close()
                raise
        self.executor.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the client and the databases; may be called twice."""
        self.client.close()
        if self._ops is not None:
            self._ops.close()
        self._store.close()

    @contextmanager
    def online(self) -> Iterator[Self]:
        """Let every httpx client of this process, sync or async, reach the stack inside the block."""
        with self.harness.online(), self.connected():
            yield self

    @contextmanager
    def connected(self) -> Iterator[Self]:
        """Let the stack's own client, and nobody else, reach the stack inside the block."""
        with self._transport.plugged_in():
            yield self

    @contextmanager
    def serve(self, *, stuck_after_s: float = STUCK_AFTER_S) -> Iterator[Served]:
        """Serve the gateway and the control plane on loopback ports inside the block.

        They are answered by threads of this process. A client in it that holds the interpreter while it waits
        for them would wait for ever: after `stuck_after_s` seconds the process is ended, with a message.

        Raises:
            NotRunError: what is sold is not sold at the host that such a client names.
        """
        found = (match_service(self.sold.services, _AT_A_PORT, offer.path) for offer in self.sold.offers)
        if self.sold.file is not None and not any(found):
            raise NotRunError(
                f"not run: a client that asks at a port names a host as {_AT_A_PORT}, and "
                f"{self.sold.file.name} sells nothing there"
            )
        with ExitStack() as block:
            tell = self.open_stderr()
            block.callback(os.close, tell)
            block.enter_context(ended_when_stuck(_STUCK, after_s=stuck_after_s, tell=tell))
            yield Served(*block.enter_context(self.harness.serving(self.sold.hosts[0], CONTROL_HOST)))

    def executor_at(
        self, client: httpx.Client, *, policy: BuyerPolicy | None = None, user_id: str = DEFAULT_USER
    ) -> Executor:
        """Return another buyer, stopped, that buys from `client`'s base URL with the stack's wallet."""
        self._executors += 1
        return Executor(
            self.harness.derive(f"executor {self._executors}"),
            client=client,
            wallet=self._part("wallet"),
            control_plane=self._part("control_plane"),
            policy=BuyerPolicy(default_cap_msats=self.sold.cap_msats) if policy is None else policy,
            user_id=user_id,
        )

    def attributed(self, buyer: Buyer) -> AttributedExecutor:
        """Return an executor that buys with somebody else's client, and is followed through every plane."""
        return AttributedExecutor(
            self._derived("attributed executor"),
            buyer,
            edge=self.edge,
            gateway_url=self.client.base_url,
            control_plane=self._part("control_plane"),
            tasks=self.task_register(),
            rows=self._trade,
        )

    def task_register(self) -> TaskRegister:
        """Return what gives a task to each purchase of a client that knows no tasks."""
        return TaskRegister(self._part("control_plane"), self.sold.cap_msats)

    def forger(self) -> Forger:
        """Return a client that presents forged credentials; it pays with the stack's wallet."""
        return Forger(self._derived("forger"), client=self.client, wallet=self._part("wallet"))

    def replace(self, **parts: Any) -> Self:
        """Let other objects play roles: `executor`, `wallet`, `gateway`, `control_plane`, `settlement_store`.

        Raises:
            TypeError: no such role.
        """
        for role, part in parts.items():
            if role not in ROLES:
                raise TypeError(f"the stack has no role {role!r}; its roles are {', '.join(ROLES)}")
            part = counted(part, ASKED_BY[role])
            if role == "wallet" and not isinstance(part, Wallet):
                log = WalletLog(self.harness, self.node, type(part_behind(part)).__name__)
                heard_by(part, log.hears)
            setattr(self, role, part)
            self._replacements.append((role, part))
            self._asked_before.setdefault(id(part), times_asked(part) or 0)
        return self

    def players(self, role: str) -> list[tuple[Any, int | None]]:
        """Return whoever plays this role now, then all that `replace` has ever put there.

        With each, how often it was asked for something since it was put in, but for the probes of the steady
        state; None where nobody counts.
        """
        found = [getattr(self, role), *(part for name, part in self._replacements if name == role)]
        return [(part_behind(part), self._times_asked(role, part)) for part in found]

    def surroundings(self) -> dict[str, Any]:
        """Return what stands around the parts, by name: nobody is meant to replace that."""
        return {
            "edge": self.network.app_of(self.sold.hosts[0]),
            "way": self._way,
            "front": self.front,
            "seller": self.seller_api,
            "node": self.node,
            "projection": self.projection,
            "journal": self.journal,
            "accounts": self.harness.accounts,
            "faults": self.faults,
            "clock": self.clock,
        }

    def _times_asked(self, role: str, part: object) -> int | None:
        asked = times_asked(part)
        if asked is not None:
            return asked - self._asked_before[id(part)]
        # Whatever reaches a gateway comes by its host; the other parts of ours may be asked directly.
        return self.edge.requests - self._probes_at_the_edge if role == "gateway" else None

    @property
    def ops(self) -> StackOps:
        """The operations of the stack's own gateway: its deployer and the history of its deployments.

        Raises:
            NotRunError: what is sold is somebody's own file, which is not to be replaced.
        """
        if self.sold.file is not None:
            raise NotRunError(
                "not run: this rehearsal deploys what the control plane says, and what is sold is "
                f"{self.sold.file.name} as it stands"
            )
        if self._ops is None:
            # Asked for by few rehearsals, and a compiler comes with it.
            from pytest_l402.stack.gateway.deployer import GatewayDeployer
            from pytest_l402.stack.operations import StackOps

            loads = callable(getattr(self.gateway, "load", None))
            self._ops = StackOps(
                self.harness,
                self._part("gateway") if loads else self._built_in_gateway,
                deployer=getattr(part_behind(self.gateway), "deployed_by", GatewayDeployer),
                client=self.client,
                wallet=self._part("wallet"),
                paywalls=lambda: getattr(self.control_plane, "paywalls", lambda: self.paywalls)(),
                networks=(self.node.prefix,),
                folder=self._ops_folder,
            )
        return self._ops

    def reconciler(
        self, *, wait_s: float = 0.0, failpoint: Callable[[Failpoint], None] = lambda _: None
    ) -> Reconciler:
        """Return the driver that brings the stack's own gateway to what its control plane says.

        It waits at most `wait_s` seconds for another one to end. The stack must be online.
        """
        return self.ops.reconciler(wait_s=wait_s, failpoint=failpoint)

    def lifetime(self, offer: Offer) -> Lifetime:
        """Return the life of a credential that is bought now for a resource: let pass, it is good no more.

        Raises:
            LookupError: what is sold there does not expire.
        """
        sold = match_service(self._services_now(), offer.host, offer.path)
        if sold is None or not sold.timeout_s:
            raise LookupError(f"{offer.path} is sold for good: expected a service that expires")
        of_program = isinstance(part_behind(self.gateway), PlayedByProgram)
        return Lifetime(self.clock, sold.timeout_s * 1_000, goes_by_itself=of_program)

    def local_artifact_path(self) -> Path | None:
        """Return where the artifact of the local-node path lies, or None without a folder for artifacts."""
        return None if self.artifact_dir is None else self.artifact_dir / LOCAL_ARTIFACT_NAME

    def steady_state(self, when: When) -> list[Row]:
        """Return one row per probe of the steady state; no money moves, and no other table keeps a trace."""
        parts = {role: getattr(self, role) for role in ROLES}
        with self.connected(), self._uncounted():
            # One of each stands for all: they share gateway, node and seller.
            asked = reachable(when, self.client, self.paywalls[:1], self.sold.free_resources[:1])
            return steady_rows(when, asked, left_over(self.harness, parts))

    @contextmanager
    def _uncounted(self) -> Iterator[None]:
        """Count nothing inside the block: what the stack asks itself shows nothing of a part's use."""
        if self._counts_nothing:
            yield
            return
        self._counts_nothing = True
        parts = {id(part): part for _, part in self._replacements}
        before = {key: times_asked(part) or 0 for key, part in parts.items()}
        of_edge = self.edge.requests
        try:
            yield
        finally:
            for key, asked in before.items():
                self._asked_before[key] += (times_asked(parts[key]) or 0) - asked
            self._probes_at_the_edge += self.edge.requests - of_edge
            self._counts_nothing = False

    def tables(self) -> dict[str, list[Row]]:
        """Return every table that has rows: what the planes wrote, what SQL holds, what lies on the disk.

        What the probes of the steady state left is not among it.
        """
        names = self.journal.table_names()
        found: dict[str, list[Row]] = {name: list(self.journal.rows(name)) for name in names}
        for name in _SQL_TABLES:
            found[name] = [dict(row) for row in self.settlement_store.rows(name)]
        found["balances"] = self.harness.accounts.rows()
        tasks = getattr(self.control_plane, "tasks", None)
        if tasks is not None:
            found["tasks"] = [task.to_row() for task in tasks()]
        found["seller_calls"], found["node_invoices"] = list(self.seller_api.book), self.node.book()
        if self._ops is not None:
            found |= self._ops.tables()
        player = part_behind(self.gateway)
        if isinstance(player, PlayedByProgram):
            found |= {name: [dict(row) for row in rows] for name, rows in player.tables().items()}
        if self.sold.file is not None:
            found["configuration_changes"] = [dict(row) for row in self.sold.file.changes]
            found["configuration_findings"] = [dict(row) for row in self.sold.file.findings]
        if self.flow_folder is not None:
            # What was not written is no evidence, and a check says so; here it is no error.
            events, summary = self.flow_folder / "events.jsonl", self.flow_folder / "summary.json"
            found["flow_events"] = list(read_json_lines(events)) if events.is_file() else []
            found["flow_summary"] = [read_json(summary)] if summary.is_file() else []
        found["local_artifact"] = self._artifact.rows(self.executor, self.local_artifact_path())
        found["injected_faults"] = [injected.to_row() for injected in self.faults.history()]
        kept = {name: [row for row in rows if not is_of_steady_state(row)] for name, rows in found.items()}
        # What was made for a probe may be offered to a client; and no probe pays: who does is none.
        offered = {row["paymentHash"] for row in kept.get("exchanges", ())}
        kept["node_invoices"] = [
            row
            for row in found["node_invoices"]
            if not is_of_steady_state(row) or row["paymentHash"] in offered or row["settledAtMs"] is not None
        ]
        return {name: rows for name, rows in kept.items() if rows}

    def able(self, role: str, ability: str) -> Callable[..., Any]:
        """Return a method that a part may have beyond what its role asks for, such as a gateway's `revoke`.

        Raises:
            NotAbleError: whoever plays the role has no such method, and nobody has it in its place.
        """
        player = getattr(self, role)
        found = getattr(player, ability, None)
        if found is None and role == "gateway" and not self._gateway_tells():
            found = getattr(self.front, ability, None)
        if not callable(found):
            raise NotAbleError(role, part_behind(player), ability)
        return cast("Callable[..., Any]", found)

    def _services_now(self) -> tuple[Service, ...]:
        return _services_of(self.gateway) or self.sold.services

    def _gateway_tells(self) -> bool:
        """Whether the gateway itself asks the control plane, tells the store, or emits records.

        One that is not ours is asked its price once, to see what it says of that.
        """
        player = part_behind(self.gateway)
        if isinstance(player, Gateway):
            return True
        if self.edge.handling == WHO_TELLS:
            # This is the question itself, on its way.
            return True
        if id(player) not in self._telling:
            self._telling[id(player)] = self._asked_who_tells()
            self._players_asked.append(player)
        return self._telling[id(player)]

    def _asked_who_tells(self) -> bool:
        path = self.paywalls[0].path if self.paywalls else "/"
        headers = (("Host", self.sold.host), (REQUEST_ID_HEADER, WHO_TELLS))
        request = Request("GET", self.sold.hosts[0], path, headers=headers)
        with self._uncounted():
            try:
                self.edge.handle(request)
            except Exception:  # whatever it is, it comes again with the request that is to be answered
                return True
        tables = (*map(self.journal.rows, ("records", "logs")), self.settlement_store.rows("invoices"))
        named = (f"{row.get('requestId')} {row.get('line')}" for rows in tables for row in rows)
        return any(WHO_TELLS in text for text in named)

    def _request_at_the_edge(self) -> str | None:
        return self.edge.handling

    def _derived(self, label: str) -> Harness:
        """Return the harness for one more of its kind: two of them never give the same ids."""
        self._made[label] += 1
        number = self._made[label]
        return self.harness.derive(label if number == 1 else f"{label} {number}")

    def _trade(self) -> Evidence:
        """Return what there is of purchases and payments, and nothing else."""
        found = {name: self.journal.rows(name) for name in ("exchanges", "payments")}
        stored = {name: self.settlement_store.rows(name) for name in ("invoices", "settlements")}
        return Evidence({**found, **stored, "node_invoices": self.node.book()})

    def _part(self, role: str) -> Any:
        return _Part(self, role)
