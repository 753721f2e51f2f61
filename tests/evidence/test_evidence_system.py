"""What a system must say of itself, who its parts are, and the one line that each bad system gets."""

from __future__ import annotations

import logging
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import httpx
import pytest

import pytest_l402
from pytest_l402.evidence import Part, parts_of, some_row
from pytest_l402.evidence.parts import package_digest
from pytest_l402.evidence.system import Attached, UnusableSystemError
from pytest_l402.stack import StackClock


class Books:
    """A system without a word of L402."""

    name = "books"
    version = "7"
    digest: str | None = None

    def parts(self) -> Any:
        return (Part("ledger", "Ledger"),)

    def tables(self) -> Any:
        return {"entries": [{"amount": 1}]}

    def steady_state(self, when: str) -> Any:
        return [{"when": when, "probe": "balance", "ok": True, "detail": "0"}]

    def standing_checks(self) -> Any:
        return (some_row("entries", amount=1),)


def test_what_a_system_says_is_taken_down() -> None:
    said = Attached(Books()).described()
    assert (said.name, said.version, said.digest) == ("books", "7", None)
    assert said.parts == (Part("ledger", "Ledger"),)
    assert said.standing_checks == ("some_row(entries: 1)",)


class Quiet(Books):
    """Says nothing about a steady state, and has no law of its own."""

    def steady_state(self, when: str) -> Any:
        return ()

    def standing_checks(self) -> Any:
        return ()


def test_a_system_may_have_neither_steady_state_nor_standing_checks() -> None:
    quiet = Attached(Quiet())
    assert quiet.steady_state("before") == []
    assert quiet.steady_state("after") == []
    assert quiet.described().standing_checks == ()


def changed(**attributes: Any) -> Books:
    books = Books()
    for name, value in attributes.items():
        setattr(books, name, value)
    return books


def boom(*_: object) -> Any:
    raise RuntimeError("no power")


def use(attached: Attached) -> None:
    attached.tables()
    attached.steady_state("before")
    attached.steady_state("after")
    attached.standing_checks()
    attached.described()


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "no-version": (lambda: changed(version=""), "system 'books': expected a version, saw ''"),
    "version-of-another-kind": (lambda: changed(version=7), "system 'books': expected a version, saw 7"),
    "no-name": (lambda: changed(name=" "), "system ' ': expected a name, saw ' '"),
    "two-lines": (lambda: changed(name="a\nb"), "expected a name of one line"),
    "digest-of-another-kind": (lambda: changed(digest=b"x"), "system 'books': expected digest to be a text"),
    "old-form": (lambda: dict, "expected a system, saw tables alone"),
    "half": (lambda: types.SimpleNamespace(name="half"), "saw SimpleNamespace without version, digest"),
    "tables-list": (lambda: changed(tables=list), "expected tables() to return a mapping, saw list"),
    "table-name": (lambda: changed(tables=lambda: {1: []}), "expected the name of a table, saw int"),
    "tables-rows": (lambda: changed(tables=lambda: {"a": 1}), "expected rows in table 'a', saw int"),
    "parts": (lambda: changed(parts=lambda: ["x"]), "expected parts() to return Part objects, saw str"),
    "parts-none": (lambda: changed(parts=lambda: None), "expected parts() to return Part objects, saw None"),
    "parts-raise": (lambda: changed(parts=boom), "expected parts() to answer, saw RuntimeError: no power"),
    "steady": (
        lambda: changed(steady_state=lambda when: True),
        "steady_state('before') to return rows",
    ),
    "steady-rows": (lambda: changed(steady_state=lambda when: "ok"), "to return rows, saw str"),
    "steady-once": (
        lambda: changed(steady_state=lambda when: [{"ok": True}] if when == "before" else []),
        "expected steady_state('after') to return rows as 'before' did, saw none",
    ),
    "checks": (
        lambda: changed(standing_checks=lambda: [1]),
        "standing_checks() to return Check objects",
    ),
    "checks-raise": (
        lambda: changed(standing_checks=boom),
        "expected standing_checks() to answer, saw RuntimeError: no power",
    ),
}


@pytest.mark.parametrize("name", sorted(BAD))
def test_a_bad_system_gets_one_line(name: str) -> None:
    make, expected = BAD[name]
    with pytest.raises(UnusableSystemError) as caught:
        use(Attached(make()))
    assert expected in str(caught.value)
    assert "; " in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


def test_who_plays_is_found_from_the_object() -> None:
    (ours,) = parts_of("clock", StackClock())
    assert ours == Part("clock", "StackClock", "pytest-l402", pytest_l402.__version__, ours=True)
    with httpx.Client() as client:
        (theirs,) = parts_of("buyer", client)
    assert theirs == Part("buyer", "Client", "httpx", version("httpx"))
    (python,) = parts_of("log", logging.getLogger("x"))
    assert (python.name, python.distribution, python.ours) == ("Logger", "python", False)


def test_an_object_of_ours_with_a_method_of_somebody_else_is_not_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = StackClock()
    monkeypatch.setattr(clock, "advance", lambda ms: None)
    (part,) = parts_of("clock", clock)
    assert (part.name, part.ours) == ("StackClock with another advance", False)


class Wrapper:
    def __init__(self, inside: object) -> None:
        self.inside = inside
        self.name = "x"


class Declared(Wrapper):
    @property
    def wraps(self) -> object:
        return self.inside


class Inheriting(httpx.BaseTransport):
    pass


def test_what_no_package_has_is_told_with_its_file_and_what_it_holds() -> None:
    here = Path(__file__).name
    with httpx.Client() as client:
        held = parts_of("buyer", Wrapper(client))
    mine = Part("buyer", "Wrapper", file=here)
    assert (held[0].name, held[0].distribution, Path(str(held[0].file)).name) == ("Wrapper", None, mine.file)
    assert held[1:] == (Part("buyer", "Client", "httpx", version("httpx"), held_by="Wrapper"),)
    base = parts_of("buyer", Inheriting())[1]
    assert (base.name, base.distribution, base.held_by) == ("BaseTransport", "httpx", "Inheriting")


def test_what_is_declared_goes_before_what_is_found() -> None:
    inner = Wrapper(1)
    first, second = parts_of("buyer", Declared(inner))
    assert (first.name, second.name, second.held_by) == ("Declared", "Wrapper", "Declared")
    assert [part.name for part in parts_of("buyer", Declared(httpx))] == ["Declared", "httpx"]
    loop = Declared(None)
    loop.inside = loop
    assert [part.name for part in parts_of("buyer", loop)] == ["Declared"]


def test_the_package_is_known_by_what_its_files_hold(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("one")
    (tmp_path / "__pycache__").mkdir()
    before = package_digest(tmp_path)
    assert before.startswith("sha256:")
    (tmp_path / "__pycache__" / "a.pyc").write_text("built from it")
    assert package_digest(tmp_path) == before
    (tmp_path / "a.py").write_text("two")
    assert package_digest(tmp_path) != before
    (tmp_path / "a.py").write_text("one")
    (tmp_path / "b.sql").write_text("")
    assert package_digest(tmp_path) != before
