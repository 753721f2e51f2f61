"""What every stand-in is handed, as one object: clock, chance, faults, accounts, journal, network."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any

from pytest_l402.harness.accounts import Accounts
from pytest_l402.harness.clock import Clock, StackClock
from pytest_l402.harness.faults import Faults
from pytest_l402.harness.journal import Journal
from pytest_l402.harness.network import REQUEST_ID_HEADER, Network, Request, is_usable_id
from pytest_l402.harness.randomness import Randomness, SeededRandomness


class Harness:
    """The ground that the parts of one system stand on together.

    The same seed and the same calls leave the same rows: time moves by `clock` alone, and every byte of
    chance comes from `randomness`. What is injected into `faults` goes wrong, what happens is appended to
    `journal`, and the hosts of `network` are reached in process or on a port of this machine.
    """

    def __init__(
        self, seed: int | str = 402, *, clock: Clock | None = None, randomness: Randomness | None = None
    ) -> None:
        self.clock: Clock = clock if clock is not None else StackClock()
        self.randomness: Randomness = randomness if randomness is not None else SeededRandomness(seed)
        self.faults = Faults(self.clock.now_ms)
        self.accounts = Accounts()
        self.journal = Journal(self.clock)
        self.network = Network(self.faults)

    def derive(self, label: str) -> Harness:
        """Return the same harness with randomness of its own; the same label always gives the same."""
        derived = copy.copy(self)
        derived.randomness = self.randomness.derive(label)
        return derived

    def note(self, table: str, row: Mapping[str, Any]) -> None:
        """Append `row` to a table of the journal, with the next moment of the clock as its `atMs`."""
        self.journal.append(table, {**row, "atMs": self.clock.tick()})

    def id_of(self, request: Request, prefix: str, purpose: str) -> str:
        """Return the client's request id if it can stand in headers and logs, else a fresh one."""
        given = request.header(REQUEST_ID_HEADER)
        return given if is_usable_id(given) else f"{prefix}-{self.randomness.uuid(purpose)}"

    def online(self) -> AbstractContextManager[object]:
        """Let every httpx client of this process, sync or async, reach the network inside the block."""
        # Imported here: who has a client of its own needs no patching, and respx brings a lot along.
        from pytest_l402.harness.respx_bridge import respx_router

        return respx_router(self.network)

    @contextmanager
    def serving(self, *hosts: str) -> Iterator[tuple[str, ...]]:
        """Serve hosts of the network on loopback ports inside the block; yields their base URLs."""
        from pytest_l402.harness.loopback import LoopbackServer

        with ExitStack() as servers:
            yield tuple(servers.enter_context(LoopbackServer(self.network, host=host)).url for host in hosts)
