"""Decides from outside the process what goes wrong in a stack that is served, and what it sells for."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pytest_l402.boundary import InputError, read_json
from pytest_l402.harness.fault_names import FaultNameError
from pytest_l402.harness.faults import Faults
from pytest_l402.stack.faults import fault_named

_KEYS = frozenset({"faults", "prices"})


class Scenario:
    """A file that decides which faults are active and which prices the control plane states.

    It holds `{"faults": [{"fault": "DeployFailure", "how": "too_late", "requestId": null}, …],
    "prices": {"<paywall id>": <msats>}}`; each part may be left out, and without the file nothing goes wrong.
    It is read again before every request, so that another process can change it while the stack runs.
    """

    def __init__(self, path: Path | None, faults: Faults) -> None:
        self._path = path
        self._faults = faults
        self._active = ExitStack()
        self._text: bytes | None = None
        self.prices: Mapping[str, int] = {}

    def refresh(self) -> None:
        """Take the file as it is now.

        Raises:
            InputError: it cannot be read, or says something that cannot be; the scenario is as it was.
        """
        if self._path is None:
            return
        text = self._path.read_bytes() if self._path.exists() else b"{}"
        if text == self._text:
            return
        document = read_json(self._path) if self._path.exists() else {}
        faults, prices = self._decoded(document)
        # First: who watches the faults reads the scenario too.
        self.prices, self._text = prices, text
        self.close()
        for fault, request_id in faults:
            self._active.enter_context(self._faults.inject(fault, request_id))

    def close(self) -> None:
        """Take every fault back."""
        self._active.close()
        self._active = ExitStack()

    def _decoded(self, document: Any) -> tuple[list[Any], dict[str, int]]:
        assert self._path is not None
        if not isinstance(document, dict) or not document.keys() <= _KEYS:
            raise self._unusable("an object with faults and prices", type(document).__name__)
        entries, prices = document.get("faults", []), document.get("prices", {})
        if not isinstance(prices, dict) or not all(
            isinstance(price, int) and not isinstance(price, bool) and price > 0 for price in prices.values()
        ):
            raise self._unusable("msats above 0 for each paywall under prices", "something else")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self._unusable("a list of objects under faults", "something else")
        faults = []
        for entry in entries:
            values = {key: value for key, value in entry.items() if key not in ("fault", "requestId")}
            try:
                faults.append((fault_named(str(entry.get("fault", "")), values), entry.get("requestId")))
            except FaultNameError as error:
                raise self._unusable("faults that there are", str(error)) from None
        return faults, prices

    def _unusable(self, expected: str, seen: str) -> InputError:
        assert self._path is not None
        return InputError.at(self._path, expected=expected, seen=seen, remedy="correct the scenario")
