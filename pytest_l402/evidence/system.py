"""What a system under rehearsal says of itself, and the one line that is said when that cannot be used."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from inspect import getattr_static
from typing import Any, Final, Literal, NoReturn, Protocol, TypeAlias, TypeVar

from pytest_l402.boundary.cleaning import CleanedWhenWritten
from pytest_l402.contract.rows import Row
from pytest_l402.evidence.check import Check
from pytest_l402.evidence.fields import Form, annotations_of
from pytest_l402.evidence.parts import Part

T = TypeVar("T")

When: TypeAlias = Literal["before", "after"]

_NAMES: Final = ("name", "version", "digest")
_NEEDED_OF_A_PART: Final = ("role", "name")
_METHODS: Final = ("parts", "tables", "steady_state", "standing_checks")
_DIGEST_BYTES: Final = 32
_FORM: Final = "name, version, digest, parts(), tables(), steady_state(when), standing_checks()"


class System(Protocol):
    """What is under rehearsal; anything that has these seven will do.

    It may also have `fields()`, which returns {table: a class with the fields of a row}: then a check is
    refused that names a field or a value which no row of that table can have. And it may have
    `secret_digests()`, which returns the SHA-256 (32 bytes) of each secret that it issued so far: a row that
    holds one is a violation, also where nothing says that it is one. And `injected_faults()`, which returns a
    name and a request id, None for all requests, of each fault that was ever injected into it: the sign-off
    tells it beside the faults that a drill expected.
    """

    @property
    def name(self) -> str:
        """What it is called; no two systems of one test have the same name."""

    @property
    def version(self) -> str:
        """Which release, or which configuration."""

    @property
    def digest(self) -> str | None:
        """What pins it: "sha256:…" of an image or a package, "git:…" of a commit; None is "not pinned".

        Asked after `parts()`, so that it can be about those.
        """

    def parts(self) -> Sequence[Part]:
        """Return who plays which role now; `parts_of(role, player)` finds that out."""

    def tables(self) -> Mapping[str, Iterable[Row]]:
        """Return the rows that it has left so far; asked each time evidence is collected."""

    def steady_state(self, when: When) -> Iterable[Row]:
        """Return one row for each probe of its steady state; none at all if it has no such probes.

        Asked once "before", when the system is attached, and "after" whenever evidence is collected with it.
        """

    def standing_checks(self) -> Sequence[Check]:
        """Return what holds of everything that it ever records, whatever a test verifies besides."""


class UnusableSystemError(ValueError):
    """A system does not say what it must; one line with what was expected, seen, where, and what to do."""


@dataclass(frozen=True, slots=True)
class AttachedSystem:
    """What a system said of itself in a test; `standing_checks` are the names of its checks that were run."""

    name: CleanedWhenWritten
    version: CleanedWhenWritten
    digest: CleanedWhenWritten | None
    parts: tuple[Part, ...] = ()
    standing_checks: tuple[CleanedWhenWritten, ...] = ()


class Attached:
    """A system whose every word is looked at before it is believed.

    Raises `UnusableSystemError` where a word cannot be used. What `tables` and `steady_state` raise is passed
    on: it is the system's own failure.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self._probed = False
        self._fields: dict[str, Form] | None = None
        self._refuse_unless_complete(system)
        self.name = self._text("name")
        self._text("version")

    def tables(self) -> dict[str, list[Row]]:
        """Return the rows that the system has left so far."""
        tables = self._system.tables()
        if not isinstance(tables, Mapping):
            self._refuse("tables() to return a mapping", _kind(tables), "return {table: rows}")
        for name in tables:
            if not isinstance(name, str):
                self._refuse("the name of a table", _kind(name), "return {table: rows}")
        return {name: self._rows(f"rows in table {name!r}", rows) for name, rows in tables.items()}

    def fields(self) -> dict[str, Form]:
        """Return what the rows of each table are, as far as it says so; it need not have `fields()`.

        It is asked once: what a table is does not change while a test runs.
        """
        if self._fields is None:
            self._fields = self._asked_fields()
        return self._fields

    def _asked_fields(self) -> dict[str, Form]:
        ask = getattr(self._system, "fields", None)
        forms = {} if ask is None else self._ask("fields()", ask)
        expected = "fields() to return a class with the fields of a row for each table"
        if not isinstance(forms, Mapping):
            self._refuse(expected, _kind(forms), "return {table: class}")
        for table, form in forms.items():
            if not isinstance(table, str) or not isinstance(form, type | Mapping):
                self._refuse(expected, _kind(form), "return {table: class}")
            self._ask(f"fields() for table {table!r}", partial(annotations_of, form))
        return dict(forms)

    def secret_digests(self) -> list[bytes]:
        """Return the SHA-256 of each secret that it issued, as far as it says so."""
        ask = getattr(self._system, "secret_digests", None)
        digests = [] if ask is None else self._ask("secret_digests()", lambda: list(ask()))
        for digest in digests:
            if not isinstance(digest, bytes) or len(digest) != _DIGEST_BYTES:
                self._refuse(
                    "secret_digests() to return digests of 32 bytes", _kind(digest), "return SHA-256"
                )
        return digests

    def injected_faults(self, request_id: str) -> list[str] | None:
        """Return the names of the faults that were injected for a request; None if it cannot say."""
        ask = getattr(self._system, "injected_faults", None)
        if ask is None:
            return None
        faults = self._ask("injected_faults()", lambda: [(str(name), of) for name, of in ask()])
        return list(dict.fromkeys(name for name, of in faults if of in (None, request_id)))

    def steady_state(self, when: When) -> list[Row]:
        """Return the rows of its probes, the same of them before and after; empty if it has none."""
        expected = f"steady_state({when!r}) to return rows"
        rows = self._rows(expected, self._system.steady_state(when))
        if when == "before":
            self._probed = bool(rows)
        elif self._probed and not rows:
            self._refuse(f"{expected} as 'before' did", "none", "probe the same both times")
        return rows

    def standing_checks(self) -> tuple[Check, ...]:
        """Return what holds of everything that the system records."""
        return self._several("standing_checks", self._system.standing_checks, Check)

    def described(self) -> AttachedSystem:
        """Return who it is and who its parts are, as of now; it is not asked what it is held to."""
        parts = self._several("parts", self._system.parts, Part)
        for part in parts:
            for field in fields(part):
                self._refuse_unless_fitting(field.name, getattr(part, field.name))
        digest = self._ask("digest", lambda: self._system.digest)
        if digest is not None and not isinstance(digest, str):
            self._refuse("digest to be a text or None", _kind(digest), 'name it "sha256:…" or "git:…"')
        return AttachedSystem(name=self.name, version=self._text("version"), digest=digest, parts=parts)

    def _refuse_unless_fitting(self, field: str, value: object) -> None:
        if field == "ours":
            expected, fits = "true or false", isinstance(value, bool)
        elif field == "requests":
            counted = isinstance(value, int) and not isinstance(value, bool) and value >= 0
            expected, fits = "a whole number or None", value is None or counted
        elif field in _NEEDED_OF_A_PART:
            expected, fits = "a text", isinstance(value, str)
        else:
            expected, fits = "a text or None", value is None or isinstance(value, str)
        if not fits:
            self._refuse(f"{field} of a Part to be {expected}", _kind(value), "use parts_of(role, player)")

    def _refuse_unless_complete(self, system: System) -> None:
        self.name = type(system).__name__
        self.name = self._ask("name", lambda: getattr(system, "name", self.name))
        lacking = [
            *(name for name in _NAMES if not self._ask(name, partial(_has, system, name))),
            *(name for name in _METHODS if not self._ask(name, partial(_has_method, system, name))),
        ]
        if not lacking:
            return
        remedy = f"attach an object with {_FORM} (docs/rehearse-another-system.md)"
        if callable(system) and set(_METHODS) <= set(lacking):
            raise UnusableSystemError(
                "l402_evidence.attach(tables): expected a system, saw tables alone, which do not say who was "
                f"tested; {remedy}"
            )
        self._refuse(_FORM, f"{type(system).__name__} without {', '.join(lacking)}", remedy)

    def _text(self, name: str) -> str:
        value = self._ask(name, lambda: getattr(self._system, name))
        if not isinstance(value, str) or not value.strip():
            self._refuse(f"a {name}", repr(value), "say which system the sign-off is about")
        if not value.isprintable():
            self._refuse(f"a {name} of one line", repr(value), "leave control characters out")
        return value

    def _rows(self, expected: str, rows: object) -> list[Row]:
        if isinstance(rows, str | bytes | Mapping) or not isinstance(rows, Iterable):
            self._refuse(expected, _kind(rows), "return a list of mappings")
        return list(rows)

    def _several(self, method: str, ask: Callable[[], Sequence[T]], kind: type[T]) -> tuple[T, ...]:
        expected = f"{method}() to return {kind.__name__} objects"
        answer: Any = self._ask(f"{method}()", ask)
        if isinstance(answer, str) or not isinstance(answer, Iterable):
            self._refuse(expected, _kind(answer), "return a list of them; it may be empty")
        # A generator does its work, and fails, only while it is read.
        found: tuple[Any, ...] = self._ask(f"{method}()", lambda: tuple(answer))
        for one in found:
            if not isinstance(one, kind):
                self._refuse(expected, _kind(one), "take the others out")
        return found

    def _ask(self, what: str, ask: Callable[[], Any]) -> Any:
        try:
            return ask()
        except Exception as error:  # anybody's code; what it says of itself is input like any other
            self._refuse(f"{what} to answer", f"{type(error).__name__}: {error}", f"mend {what}")

    def _refuse(self, expected: str, seen: str, remedy: str) -> NoReturn:
        shown = " ".join(seen.split())
        raise UnusableSystemError(
            f"system {self.name!r}: expected {expected}, saw {shown}; {remedy}"
        ) from None


def _has(system: object, name: str) -> bool:
    # A property is not asked for its value: to find out who plays may cost more than all the rest.
    return getattr_static(system, name, None) is not None or hasattr(system, name)


def _has_method(system: object, name: str) -> bool:
    return callable(getattr(system, name, None))


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
