"""What a system must say of itself, who its parts are, and the one line that each bad system gets."""

from __future__ import annotations

import importlib.util
import json
import logging
import py_compile
import sys
import types
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock, Mock

import httpx
import pytest

import pytest_l402
from pytest_l402.evidence import Part, parts_of, some_row
from pytest_l402.evidence.parts import package_digest
from pytest_l402.evidence.system import Attached, UnusableSystemError
from pytest_l402.stack import Executor, Stack, StackClock


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
    assert said.standing_checks == ()


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
    assert quiet.standing_checks() == ()


def changed(**attributes: Any) -> Books:
    books = Books()
    for name, value in attributes.items():
        setattr(books, name, value)
    return books


def boom(*_: object) -> Any:
    raise RuntimeError("no power")


def raising(name: str) -> Any:
    return type("Books", (Books,), {name: property(boom)})()


def failing_late() -> Any:
    yield Part("ledger", "Ledger")
    raise KeyError("x")


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
    "parts-raise-late": (
        lambda: changed(parts=failing_late),
        "expected parts() to answer, saw KeyError: 'x'",
    ),
    "part-role": (lambda: changed(parts=lambda: [Part(1, "x")]), "role of a Part to be a text, saw int"),  # type: ignore[arg-type]
    "part-version": (
        lambda: changed(parts=lambda: [Part("a", "b", version=3)]),  # type: ignore[arg-type]
        "version of a Part to be a text or None, saw int",
    ),
    "part-ours": (
        lambda: changed(parts=lambda: [Part("a", "b", ours="yes")]),  # type: ignore[arg-type]
        "ours of a Part to be true or false, saw str",
    ),
    "name-raises": (lambda: raising("name"), "system 'Books': expected name to answer, saw RuntimeError: no"),
    "version-raises": (lambda: raising("version"), "system 'books': expected version to answer, saw Runtime"),
    "digest-raises": (lambda: raising("digest"), "system 'books': expected digest to answer, saw RuntimeErr"),
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


class Purse:
    """Somebody's wallet, which makes up an answer for any other name."""

    def __init__(self, wallet: object) -> None:
        self.wallet = wallet

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


def test_what_one_of_ours_holds_of_somebody_else_is_told_and_makes_it_not_ours() -> None:
    with Stack() as stack:
        assert [part.ours for part in parts_of("buyer", stack.executor)] == [True]
        wallet: Any = Purse(stack.wallet)
        executor = Executor(
            stack.harness, client=stack.client, wallet=wallet, control_plane=stack.control_plane
        )
        ours, held = parts_of("buyer", executor)
        attributed = stack.attributed(stack.executor)
        attributed.settlement_store = wallet
        inside = parts_of("buyer", attributed)
    assert (ours.name, ours.ours, held.name, held.held_by) == ("Executor", False, "Purse", "Executor")
    assert [part.name for part in inside] == ["Executor", "Purse"]


def test_a_method_that_somebody_put_into_an_object_of_a_package_is_told() -> None:
    with httpx.Client() as client:
        assert [part.name for part in parts_of("buyer", client)] == ["Client"]
        client.get = lambda *_: None  # type: ignore[assignment,method-assign,misc]
        assert [part.name for part in parts_of("buyer", client)] == ["Client with another get"]


class Slotted:
    __slots__ = ("client", "empty")

    def __init__(self, client: object) -> None:
        self.client = client


class Endless:
    @property
    def wraps(self) -> object:
        return Endless()


class Broken:
    @property
    def wraps(self) -> object:
        raise RuntimeError("no power")


def test_looking_into_a_part_ends_whatever_it_answers() -> None:
    (mock,) = parts_of("wallet", MagicMock())
    assert (mock.name, mock.distribution, mock.ours) == ("MagicMock", "python", False)
    (proxy,) = parts_of("wallet", Purse(None))
    assert (proxy.name, proxy.ours) == ("Purse", False)
    (spec,) = parts_of("wallet", Mock(spec=httpx))
    assert spec.name == "Mock"
    assert {part.name for part in parts_of("wallet", Endless())} == {"Endless"}
    assert [part.name for part in parts_of("wallet", Broken())] == ["Broken"]
    with httpx.Client() as client:
        assert [part.name for part in parts_of("wallet", Slotted(client))] == ["Slotted", "Client"]


def imported(name: str, file: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


def test_a_module_with_a_name_of_the_standard_library_is_known_by_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "profile.py"
    file.write_text("class Box: pass\n")
    (part,) = parts_of("box", imported("profile", file, monkeypatch).Box())
    assert (part.name, part.distribution, Path(str(part.file)).name) == ("Box", None, "profile.py")


def test_a_client_that_is_installed_to_be_edited_is_in_its_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "project" / "src" / "my_client"
    installed = tmp_path / "site" / "my_client-1.2.dist-info"
    source.mkdir(parents=True)
    installed.mkdir(parents=True)
    (source / "__init__.py").write_text("class Client: pass\n")
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: my-client\nVersion: 1.2\n")
    told = {"url": (tmp_path / "project").as_uri(), "dir_info": {"editable": True}}
    (installed / "direct_url.json").write_text(json.dumps(told))
    monkeypatch.syspath_prepend(tmp_path / "site")
    client = imported("my_client", source / "__init__.py", monkeypatch).Client()
    assert parts_of("buyer", client) == (Part("buyer", "Client", "my-client", "1.2"),)


def test_bytecode_that_python_runs_unasked_is_of_the_package(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("one = 1\n")
    py_compile.compile(str(source))
    before = package_digest(tmp_path)
    py_compile.compile(str(source), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert package_digest(tmp_path) != before
