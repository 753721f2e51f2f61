"""A billing service of somebody's, its file and its books may lie; each way to a false green is told."""

from __future__ import annotations

import contextlib
import datetime
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_l402.billing.deployed import DeployedBilling
from pytest_l402.billing.deployed_client import Books, DeployedBillingError, values_of
from pytest_l402.billing.mapping import MappingError, read_mapping
from pytest_l402.harness.json_app import Call, JsonApp, Refused, Route
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.harness.network import Request
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

TOKEN = "the-token-of-their-administrator"
COUNT = "import sys; print(open(sys.argv[1]).read().split().count(sys.argv[2]))"
EFFECT = {"path": "/credits", "body": {"id": "{id}"}}


@dataclass
class Theirs:
    """A service that obeys its flags, has each effect once, and knows its administrator, but for `wrong`."""

    books: Path
    wrong: str = ""
    flags: dict[str, bool] = field(default_factory=lambda: {"credits": True, "x402": True})
    lost: int = 0

    def __post_init__(self) -> None:
        self.books.touch()
        routes = (
            Route("POST", "/credits", lambda call: self._have(call, "credits")),
            Route("POST", "/x402", lambda call: self._have(call, "x402")),
            Route("GET", "/api/v1/admin/feature-flags", lambda call: {"flags": self.flags}),
            Route("POST", "/api/v1/admin/feature-flags", self._toggle),
            Route("GET", "/health/live", lambda call: {}),
            Route("GET", "/health/ready", lambda call: {}),
        )
        self.server = LoopbackServer(JsonApp(routes, guard=self._guard))

    def _guard(self, request: Request) -> None:
        if "/admin/" not in request.path:
            return
        token = request.header("Authorization")
        if token is None and not (self.wrong == "open to whoever posts" and request.method == "POST"):
            raise Refused(401, "no token")
        if self.wrong != "any token" and token not in (None, f"Bearer {TOKEN}"):
            raise Refused(403, "no administrator")

    def _toggle(self, call: Call) -> dict[str, Any]:
        enabled = call.body["enabled"]
        if enabled and self.lost:
            self.lost -= 1
            raise Refused(500, "lost")
        self.flags[call.body["flag"]] = enabled
        return {}

    def _have(self, call: Call, flag: str) -> dict[str, Any]:
        name, is_on = call.body["id"], self.flags[flag]
        if is_on or self.wrong == "mints while frozen":
            with self.books.open("a") as books:
                if name not in self.books.read_text().split():
                    books.write(f"{name}\n")
        if self.wrong == "takes others along" and flag == "x402" and not self.flags["credits"]:
            self.wrong = "others stay broken"
        elif self.wrong == "others stay broken" and flag == "x402":
            raise Refused(500, "broken")
        if not is_on:
            raise Refused(503, "off")
        return {}


def file_of(folder: Path, **changes: Any) -> Path:
    path = folder / "billing.yaml"
    told = {
        "version": 1,
        "url": "http://127.0.0.1:1",
        "token_variable": "TOKEN",
        "books_late_ms": 1,
        "flags": {"credits": "credits", "x402": "x402"},
        "effects": {"credits": EFFECT, "x402": {**EFFECT, "path": "/x402"}},
        "counted_once": ["sale-1"],
    }
    path.write_text(yaml.safe_dump({**told, **changes}))
    return path


@contextlib.contextmanager
def drilled(
    folder: Path, wrong: str = "", count: str | None = None, **changes: Any
) -> Iterator[tuple[Theirs, DeployedBilling, list[str]]]:
    """A drill of the service; after the block the list has what did not hold."""
    theirs = Theirs(folder / "books", wrong)
    theirs.books.write_text("sale-1\n")
    books = count or shlex.join([sys.executable, "-S", "-c", COUNT, str(theirs.books)])
    told: list[str] = []
    with theirs.server as server:
        names = read_mapping(file_of(folder, url=server.url, **changes))
        deployed = DeployedBilling(names, {"TOKEN": TOKEN}, count=books, may_change=True)
        collector = EvidenceCollector(title="a look", seed="a seed", artifact_dir=folder)
        collector.attach(deployed)
        yield theirs, deployed, told
        with contextlib.suppress(pytest.fail.Exception):
            collector.verify(*deployed.checks())
        told += [
            f"{result.name}: expected {each.expected}, saw {each.seen}"
            for result in collector.checks
            for each in result.violations
        ]


def test_an_honest_service_is_drilled_in_any_order_and_more_than_once(tmp_path: Path) -> None:
    with drilled(tmp_path) as (theirs, deployed, told):
        deployed.look()
        deployed.count_past()
        deployed.freeze("credits")
        deployed.freeze("x402")
        deployed.ask_again("credits")
        deployed.look()
    assert told == []
    assert theirs.flags == {"credits": True, "x402": True}


@pytest.mark.parametrize("always", ["1", "01"])
def test_books_that_have_everything_once_are_found_out(tmp_path: Path, always: str) -> None:
    with drilled(tmp_path, count=f"echo {always} #") as (_, deployed, told):
        deployed._books._command = shlex.join([sys.executable, "-S", "-c", f"print({always!r})"])
        deployed.count_past()
        deployed.ask_again("credits")
    assert len([each for each in told if "had no effect, by your own count, saw 1 times" in each]) == 2


def test_an_effect_that_comes_twice_and_late_is_found(tmp_path: Path, monkeypatch: Any) -> None:
    with drilled(tmp_path) as (theirs, deployed, told):
        # While the drill waits for the books, what was queued is done once more.
        monkeypatch.setattr(
            deployed,
            "_wait_for_books",
            lambda: theirs.books.write_text(theirs.books.read_text() * 2),
        )
        deployed.ask_again("credits")
    assert ["had_once(credits)" in each and "saw 2 times" in each for each in told] == [True]


@pytest.mark.parametrize(
    ("wrong", "told_of"),
    [
        ("mints while frozen", "had no effect, by your own count, saw 1 times"),
        ("takes others along", "answered_by(x402, after credits: 2xx): expected status 2xx"),
        ("open to whoever posts", "strangers_refused(toggle without a token"),
        ("any token", "strangers_refused(toggle with a token of nobody"),
    ],
)
def test_a_freeze_that_answers_well_and_is_none_is_found(tmp_path: Path, wrong: str, told_of: str) -> None:
    with drilled(tmp_path, wrong) as (theirs, deployed, told):
        deployed.freeze("credits")
    assert any(told_of in each for each in told), told
    assert theirs.flags["credits"]


def test_flags_that_are_told_to_any_token_are_found(tmp_path: Path) -> None:
    with drilled(tmp_path, "any token") as (_, deployed, told):
        deployed.look()
    assert told == [
        "strangers_refused(flags with a token of nobody) [TC3]: expected status 401, 403, saw 200"
    ]


def test_a_flag_is_turned_on_again_although_an_answer_is_lost(tmp_path: Path) -> None:
    with drilled(tmp_path) as (theirs, deployed, told):
        theirs.lost = 2
        deployed.freeze("credits")
    assert (told, theirs.flags["credits"]) == ([], True)


@pytest.mark.parametrize(
    "printed", ["1\\n2", "1\\nerror: no such table", "1 2", "", "-1", "1.0", "\\u0661", "1" * 30]
)
def test_books_that_print_anything_else_are_refused(printed: str) -> None:
    command = shlex.join([sys.executable, "-S", "-X", "utf8", "-c", f'print("{printed}")'])
    with pytest.raises(DeployedBillingError, match="--l402-count-cmd") as refused:
        Books(command).count("id")
    assert "\n" not in str(refused.value)


def test_no_command_is_no_counter() -> None:
    with pytest.raises(DeployedBillingError, match="expected --l402-count-cmd=CMD"):
        Books(" ").count("id")


@pytest.mark.parametrize(
    "text", ["ok 0\nok 1\n", "ok NaN\nok 1\n", "ok yes\nok 1\n", "ok 1\nok\n", "ok 1_0\n"]
)
def test_a_metric_that_is_told_in_two_ways_or_no_number_is_none(text: str) -> None:
    assert values_of(text) == {}
    assert values_of("# HELP ok\nok 1 1700000000\nok 1\n") == {"ok": 1.0}


def crediting(**body: Any) -> dict[str, Any]:
    return {"effects": {"credits": {"path": "/c", "body": body}}}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"metrics": {"conservation_gaurd_state": "ok"}}, "metrics: expected one of conservation_guard"),
        ({"contain_ms": float("inf")}, "contain_ms: expected a number above 0"),
        ({"contain_ms": 10**400}, "contain_ms: expected a number above 0"),
        (crediting(**{"{id}": 1}), "effects.credits.body: expected '{id}'"),
        (crediting(id="{id}", on=datetime.date(2026, 1, 1)), "effects.credits.body: expected JSON"),
        (crediting(id="{id}", n=float("nan")), "effects.credits.body: expected JSON"),
    ],
)
def test_a_file_that_could_judge_nothing_is_refused(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(MappingError) as refused:
        read_mapping(file_of(tmp_path, **changes))
    assert str(refused.value).startswith(f"billing.yaml: {told}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("text", ["", "[]", "version: 1", "\0", "a: &a [*a]", "a: [", "- 1\n--- 2"])
def test_a_file_of_anything_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "billing.yaml"
    path.write_text(text)
    with pytest.raises(MappingError) as refused:
        read_mapping(path)
    assert "\n" not in str(refused.value)


def test_a_body_that_holds_itself_is_refused(tmp_path: Path) -> None:
    path = file_of(tmp_path)
    path.write_text(f"{path.read_text()}\n".replace("id: '{id}'", "id: &b {x: '{id}', y: *b}", 1))
    with pytest.raises(MappingError, match=r"effects\.credits\.body: expected JSON"):
        read_mapping(path)


@pytest.mark.parametrize("url", ["http://a..b.invalid", "http://" + "a" * 64 + ".invalid", "http://[::1]:1"])
def test_a_host_that_cannot_be_asked_is_no_answer(tmp_path: Path, url: str) -> None:
    deployed = DeployedBilling(read_mapping(file_of(tmp_path, url=url)), {"TOKEN": TOKEN})
    deployed.look()
    assert {row["status"] for row in deployed.tables()["probes"]} == {0}
