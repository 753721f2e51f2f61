"""Decides what is asked of somebody's billing service, by URL, and what is changed there and put back."""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, TypedDict

from pytest_l402.billing import deployed_checks
from pytest_l402.billing.deployed_client import (
    Books,
    DeployedBillingError,
    ServiceAtUrl,
    document_of,
    values_of,
)
from pytest_l402.billing.mapping import Effect, ServiceNames, filled
from pytest_l402.billing.rows import Time
from pytest_l402.evidence import Check, Part
from pytest_l402.evidence.system import When
from pytest_l402.harness.deadline import Deadline, now_s

__all__ = ["DeployedBilling", "DeployedBillingError"]

Row = dict[str, Any]

_POLL_S: Final = 0.05
_TIMES: Final = 4
_NEVER: Final = "never asked"


class Probe(TypedDict):
    """One request and how it was answered; status 0 is not at all."""

    when: str
    probe: str
    status: int


class DeployedMetric(TypedDict):
    """One metric, by the runbook's name; None if it is not there or no number."""

    name: str
    value: float | None


class DeployedFlag(TypedDict):
    """One flag at a moment, by the runbook's name; None if the service does not tell."""

    when: str
    flag: str
    enabled: bool | None


class Counted(TypedDict):
    """One effect: how often it was asked for and answered 2xx, and how often the books have it."""

    id: str
    effect: str
    asked: int
    accepted: int
    counted: int


class DeployedBilling:
    """A deployed billing service; a system.

    `look` and `count_past` change nothing. `freeze` and `ask_again` change something, and raise
    `DeployedBillingError` unless `may_change`; each change is told to `announce` before it is made. `count`
    is a command that prints how often the effect of the id behind it was had.
    """

    name: Final = "deployed billing service"
    version: Final = "not told"
    digest: Final = None

    def __init__(
        self,
        names: ServiceNames,
        environment: Mapping[str, str],
        *,
        count: str | None = None,
        may_change: bool = False,
        announce: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._names, self.may_change, self._announce = names, may_change, announce
        self._service = ServiceAtUrl(names.url, names.token_variable, environment)
        self._books = Books(count)
        self._rows: dict[str, list[Row]] = {
            name: [] for name in ("probes", "deployed_metrics", "deployed_flags", "effects", "times")
        }
        self._checks: dict[str, Check] = {}

    # What a drill asks.

    def look(self) -> None:
        """Ask how it is, for its metrics and its flags, and for its flags without a token."""
        names = self._names
        for probe, path in (("live", names.paths.live), ("ready", names.paths.ready)):
            self._probe("now", probe, "GET", path)
        self._check(deployed_checks.alive_and_ready())
        if names.metrics:
            status, text = self._probe("now", "metrics", "GET", names.paths.metrics)
            values = values_of(text) if status == 200 else {}
            self._rows["deployed_metrics"] += [
                {"name": name, "value": values.get(theirs)} for name, theirs in names.metrics.items()
            ]
            for name in names.metrics:
                self._check(deployed_checks.metric_is_well(name))
        if names.flags:
            self._ask_as_strangers("now", "flags", "GET")
            self._look_at_flags("now")
            self._check(deployed_checks.flags_are_told())

    def count_past(self) -> None:
        """Ask the books for each id of `counted_once`."""
        if not self._names.counted_once:
            raise DeployedBillingError(
                "billing drill: expected ids in counted_once of the mapping, saw none; name some of the past"
            )
        for name in self._names.counted_once:
            self._count("past", name)
        # A count that says the same of every id says nothing.
        self._count(_NEVER, _new_id())
        self._check(deployed_checks.had_none(_NEVER))
        self._check(deployed_checks.had_once("past"))

    def freeze(self, flag: str) -> None:
        """Turn a flag off, see that it is obeyed, and turn it on again, whatever happens meanwhile."""
        __tracebackhide__ = True
        effect = self._effect(flag)
        others = {name: other for name, other in self._names.effects.items() if name != flag}
        self._expect_permission(f"flag {flag} is turned off and on again")
        before, frozen, after = f"before {flag}", f"{flag} frozen", f"after {flag}"
        if self._look_at_flags(before).get(flag) is not True:
            raise DeployedBillingError(
                f"billing drill: expected flag {flag} to be on before it is frozen, saw it not so; turn it on"
            )
        for name, each in {flag: effect, **others}.items():
            self._ask(before, name, each)
        # As it stands, so that it changes nothing where it is accepted.
        self._ask_as_strangers(before, "toggle", "POST", {"flag": self._names.flags[flag], "enabled": True})
        late = _new_id()
        begun = now_s()
        try:
            self._toggle(flag, False)
            deadline = Deadline(self._names.contain_ms * 3 / 1000)
            while self._ask("until frozen", flag, effect) != 503 and not deadline.over:
                time.sleep(_POLL_S)
            elapsed_ms = (now_s() - begun) * 1000
            self._look_at_flags(frozen)
            self._ask(frozen, flag, effect, late)
            for name, each in others.items():
                self._ask(frozen, name, each)
        finally:
            self._toggle(flag, True)
        for name, each in {flag: effect, **others}.items():
            self._ask(after, name, each)
        self._look_at_flags(after)
        self._rows["times"].append(
            {
                "procedure": f"freeze {flag}",
                "what": "contain",
                "elapsedMs": elapsed_ms,
                "declaredMs": self._names.contain_ms,
            }
        )
        for check in deployed_checks.frozen(flag, tuple(others)):
            self._check(check)
        if self._books.are_there:
            self._wait_for_books()
            self._count(frozen, late, asked=1)
            self._check(deployed_checks.had_none(frozen))

    def ask_again(self, flag: str) -> None:
        """Ask for one effect several times, at once and again, under one id; the books have it once."""
        __tracebackhide__ = True
        effect = self._effect(flag)
        self._books.expect()
        self._expect_permission(f"the effect of {flag} is had once")
        name = _new_id()
        self._count(_NEVER, name)
        self._check(deployed_checks.had_none(_NEVER))
        answers: list[int] = []
        threads = [
            threading.Thread(target=lambda: answers.append(self._ask("again", flag, effect, name)))
            for _ in range(_TIMES - 1)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        answers.append(self._ask("again", flag, effect, name))
        self._wait_for_books()
        self._count(flag, name, asked=_TIMES, accepted=sum(200 <= status < 300 for status in answers))
        self._check(deployed_checks.had_once(flag))
        self._check(deployed_checks.accepted_some(flag))

    def checks(self) -> tuple[Check, ...]:
        """Return what follows from what was asked so far."""
        if not self._checks:
            raise DeployedBillingError("billing drill: expected a drill before checks(), saw none; look()")
        return tuple(self._checks.values())

    # What the system says of itself.

    def parts(self) -> Sequence[Part]:
        """Return that the service is somebody's, by its host."""
        return (Part("billing service", self._service.host),)

    def fields(self) -> Mapping[str, type[Any]]:
        """Return what the rows of each table are."""
        return {
            "probes": Probe,
            "deployed_metrics": DeployedMetric,
            "deployed_flags": DeployedFlag,
            "effects": Counted,
            "times": Time,
        }

    def secret_digests(self) -> Iterable[bytes]:
        """Return the digest of the token."""
        token = self._service.token
        return [] if token is None else [hashlib.sha256(token.encode()).digest()]

    def tables(self) -> Mapping[str, Iterable[Row]]:
        """Return what was asked, answered, measured and counted."""
        return {name: list(rows) for name, rows in self._rows.items()}

    def steady_state(self, when: When) -> Iterable[Row]:
        """Return whether it is ready."""
        status, _ = self._service.ask("GET", self._names.paths.ready)
        detail = str(status) if status else "no answer"
        return [{"when": when, "probe": "readiness of billing", "ok": status == 200, "detail": detail}]

    def standing_checks(self) -> Sequence[Check]:
        """Return nothing: what holds follows from what was asked."""
        return ()

    # How it is asked.

    def _check(self, check: Check) -> None:
        self._checks[check.name] = check

    def _effect(self, flag: str) -> Effect:
        effect = self._names.effects.get(flag)
        if effect is None:
            raise DeployedBillingError(
                f"billing drill: expected effects.{flag} in the mapping, saw none; say what it turns off"
            )
        return effect

    def _expect_permission(self, what: str) -> None:
        if not self.may_change:
            raise DeployedBillingError(
                f"billing drill: expected --l402-allow-live-changes, for {what}, saw it not given; nothing "
                "was changed"
            )
        self._announce(f"{self._service.host}: {what}")

    def _probe(self, when: str, probe: str, method: str, path: str) -> tuple[int, str]:
        status, text = self._service.ask(method, path)
        self._rows["probes"].append({"when": when, "probe": probe, "status": status})
        return status, text

    def _ask(self, when: str, flag: str, effect: Effect, name: str | None = None) -> int:
        body = filled(effect.body, name or _new_id())
        status, _ = self._service.ask("POST", effect.path, body)
        self._rows["probes"].append({"when": when, "probe": flag, "status": status})
        return status

    def _ask_as_strangers(self, when: str, what: str, method: str, document: object = None) -> None:
        for who, token in (("without a token", None), ("with a token of nobody", secrets.token_hex(16))):
            status, _ = self._service.ask(method, self._names.paths.flags, document, token=token)
            probe = f"{what} {who}"
            self._rows["probes"].append({"when": when, "probe": probe, "status": status})
            self._check(deployed_checks.strangers_refused(probe))

    def _wait_for_books(self) -> None:
        # Nobody tells when they are written, and what comes late may be a second effect.
        time.sleep(self._names.books_late_ms / 1000)

    def _count(self, effect: str, name: str, asked: int = 0, accepted: int = 0) -> None:
        row = {"id": name, "effect": effect, "asked": asked, "accepted": accepted}
        self._rows["effects"].append({**row, "counted": self._books.count(name)})

    def _toggle(self, flag: str, enabled: bool) -> None:
        told = {"flag": self._names.flags[flag], "enabled": enabled}
        # Asked again only to turn it on, as it was: one lost answer must not leave it off.
        for _ in range(_TIMES if enabled else 1):
            status, _ = self._service.ask("POST", self._names.paths.flags, told, token=self._service.token)
            what = f"{flag} {'on' if enabled else 'off'}"
            self._rows["probes"].append({"when": what, "probe": "toggle", "status": status})
            if 200 <= status < 300:
                return
        if enabled:
            raise DeployedBillingError(
                f"billing drill: expected flag {flag} to be on again, saw status {status}; turn it on by hand"
            )

    def _look_at_flags(self, when: str) -> dict[str, bool | None]:
        _, text = self._service.ask("GET", self._names.paths.flags, token=self._service.token)
        told = document_of(text).get("flags")
        seen = told if isinstance(told, dict) else {}
        found = {
            flag: value if isinstance(value := seen.get(theirs), bool) else None
            for flag, theirs in self._names.flags.items()
        }
        self._rows["deployed_flags"] += [
            {"when": when, "flag": flag, "enabled": enabled} for flag, enabled in found.items()
        ]
        return found


def _new_id() -> str:
    return f"l402-drill-{secrets.token_hex(8)}"
