"""Whose money is where: each purse is asked before and after, whatever its owner writes down."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pytest_l402.harness.journal import Row


@dataclass(frozen=True, slots=True)
class _Account:
    before_msats: int
    read: Callable[[], int]


class Accounts:
    """The purses of one system by name, and what was in each when it was opened."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def open(self, name: str, read: Callable[[], int]) -> str:
        """Ask `read` from now on what is in a purse, in msats; return its name, numbered if that is taken."""
        number, unique = 1, name
        while unique in self._accounts:
            number += 1
            unique = f"{name}-{number}"
        self._accounts[unique] = _Account(read(), read)
        return unique

    def rows(self) -> list[Row]:
        """Return what is in each purse, and what was in it at first, in msats: the table `balances`."""
        return [
            {"account": name, "beforeMsats": account.before_msats, "nowMsats": account.read()}
            for name, account in self._accounts.items()
        ]
