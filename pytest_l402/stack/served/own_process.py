"""How the stack is served from a process of its own, whatever holds the interpreter of the one that asks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import httpx

from pytest_l402.harness.clock import Clock, StackClock
from pytest_l402.harness.handles import Handle
from pytest_l402.harness.network_transport import NetworkTransport
from pytest_l402.harness.own_process import OwnProcess
from pytest_l402.stack.buyer.artifact_on_disk import ArtifactOnDisk
from pytest_l402.stack.buyer.task_register import TaskRegister
from pytest_l402.stack.shop import CONTROL_HOST, DEFAULT_SERVICES, GATEWAY_HOST
from pytest_l402.stack.sold import sold_by
from pytest_l402.stack.stack import Served, Stack

if TYPE_CHECKING:
    from pytest_l402.stack.operations import StackOps

_OF_THE_BUYER: Final = ("wallet", "executor")


class NotInOwnProcessError(TypeError):
    """A part of the test's process was to answer requests of a stack that lives in another one."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(
            f"a stack in a process of its own: expected all that answers requests to live there, saw {what} "
            f"of the test's process, whose interpreter may be held; {remedy}"
        )


class ClockOfOwnProcess(StackClock):
    """The clock of a stack in a process of its own; `frozen()` freezes the process that asks."""

    def __init__(self, process: OwnProcess, start_ms: int | None = None) -> None:
        super().__init__()
        given = () if start_ms is None else (start_ms,)
        self.there: Any = process.run(StackClock, *given)

    def now_ms(self) -> int:
        """Return the current time in epoch milliseconds."""
        self._now_ms = int(self.there.now_ms())
        return self._now_ms

    def advance(self, ms: int) -> int:
        """Advance by `ms` milliseconds and return the new time; `ValueError` if that is negative."""
        self._now_ms = int(self.there.advance(ms)) - ms
        return super().advance(ms)


class StackInOwnProcess(Stack):
    """The same stack, whose parts live in `process`; here are their handles.

    The seller's side answers requests, and lives there: gateway, control plane, settlement store, node. The
    buyer's side may be the test's own: `replace` takes a wallet and an executor, and refuses all others.
    """

    def __init__(
        self,
        process: OwnProcess,
        seed: int | str = 402,
        *,
        clock: Clock | None = None,
        artifact_dir: Path | None = None,
    ) -> None:
        if not isinstance(clock, ClockOfOwnProcess | None):
            raise NotInOwnProcessError(
                "the clock", "leave l402_clock as it is, or do not ask for l402_served"
            )
        given = {} if clock is None else {"clock": clock.there}
        self._process = process
        self._there: Any = process.run(
            Stack, seed, artifact_dir=artifact_dir and artifact_dir.absolute(), **given
        )
        vars(self).update(process.run(vars, self._there))
        # What is for sale is asked for its values, here.
        self.sold = sold_by(DEFAULT_SERVICES)
        self._artifact = ArtifactOnDisk()
        self._transport = NetworkTransport(self.network)
        self.client = httpx.Client(
            base_url=f"https://{GATEWAY_HOST}", transport=self._transport, trust_env=False
        )

    def close(self) -> None:
        """Let go of the client and of all that lives there; may be called twice."""
        self.client.close()
        if self._process.runs:
            self._there.close()

    @contextmanager
    def online(self) -> Iterator[Self]:
        """Let every httpx client of this process, sync or async, reach the stack inside the block."""
        from pytest_l402.harness.respx_bridge import respx_router

        with respx_router(self.network), self.connected():
            yield self

    @contextmanager
    def connected(self) -> Iterator[Self]:
        """Let the stack's own clients, and nobody else, reach the stack inside the block."""
        with ExitStack() as block:
            block.enter_context(self._transport.plugged_in())
            there = block.enter_context(ExitStack())
            there.enter_context(self._there.connected())
            yield self
            if not self._process.runs:
                # Nothing is there any more that could be unplugged.
                there.pop_all()

    @contextmanager
    def serve(self, *, stuck_after_s: float = 0.0) -> Iterator[Served]:
        """Serve the gateway and the control plane on loopback ports inside the block.

        Another process answers: a client may hold the interpreter of this one for as long as it likes.
        """
        with self.harness.serving(GATEWAY_HOST, CONTROL_HOST) as urls:
            yield Served(*urls)

    def task_register(self) -> TaskRegister:
        """Return what gives a task to each purchase of a client that knows no tasks."""
        register: TaskRegister = self._process.run(TaskRegister, self.control_plane)
        return register

    def replace(self, **parts: Any) -> Self:
        """Let other objects play the roles of the buyer's side: `executor`, `wallet`.

        Raises:
            NotInOwnProcessError: a part of the seller's side.
            TypeError: no such role.
        """
        for role, part in parts.items():
            if role not in _OF_THE_BUYER and type(part) is not Handle:
                raise NotInOwnProcessError(f"the {role.replace('_', ' ')}", "do not ask for l402_served")
        super().replace(**parts)
        if "wallet" in parts:
            self._there.wallet = self.wallet
        return self

    @property
    def ops(self) -> StackOps:
        """The operations of the stack's own gateway: its deployer and the history of its deployments."""
        self._ops = self._there.ops
        return self._ops
