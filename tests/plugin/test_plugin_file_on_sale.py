"""`--l402-aperture-config`: somebody's own file is sold and named in the document, or a line says why not."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from plugin_project import ON_WORKERS_TOO, Project

from pytest_l402.plugin.options import OPTIONS, read_settings

MARKED = ("-m", "rehearsal")
FILE = """\
listenaddr: "0.0.0.0:8081"
insecure: true
dbbackend: sqlite
authenticator: {network: mainnet, lndhost: "lnd:10009", tlspath: /lnd/tls.cert, macdir: /lnd}
services:
  - name: forecast
    hostregexp: '^api.example.com$'
    pathregexp: '^/v1/'
    address: "backend:8000"
    protocol: http
    headers: {X-Api-Key: "s3cr3t-of-the-backend"}
    price: 500
    timeout: 3600
"""
REHEARSALS = """\
import pytest
from pytest_l402.evidence import paid_exactly_once

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")

def test_alpha(l402_executor, l402_sold, l402_evidence):
    bought = l402_executor.buy(l402_sold.ROLE.resource)
    l402_evidence.verify(paid_exactly_once(bought).proves("1.free"))
"""
PRICE = "    price: 500\n"
SELLS = "--l402-aperture-config=aperture.yaml"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.variable, raising=False)


@pytest.fixture
def shop(project: Project) -> Project:
    project.write("aperture.yaml", FILE)
    project.write("rehearsals/test_alpha.py", REHEARSALS.replace("ROLE", "premium"))
    return project


def test_file_and_roles_are_given_in_every_way(shop: Project) -> None:
    flags = (SELLS, "--l402-sold=premium=/v1/a@21", "--l402-sold=expiring=/v1/a")
    at_hand = read_settings(shop.pytester.parseconfig(*flags), {})
    assert (at_hand.aperture_config, at_hand.sold) == (
        shop.root / "aperture.yaml",
        ("premium=/v1/a@21", "expiring=/v1/a"),
    )
    assert at_hand.from_wire(at_hand.to_wire()) == at_hand
    variables = {
        "PYTEST_L402_APERTURE_CONFIG": "aperture.yaml",
        "PYTEST_L402_SOLD": "premium=/v1/a@21 expiring=/v1/a",
    }
    assert read_settings(shop.pytester.parseconfig(), variables) == at_hand
    ini = '[tool.pytest]\nl402_aperture_config = "aperture.yaml"\n'
    ini += 'l402_sold = ["premium=/v1/a@21", "expiring=/v1/a"]'
    shop.replace("pyproject.toml", "[tool.pytest]", ini)
    assert read_settings(shop.pytester.parseconfig(), {}) == at_hand


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_the_file_is_sold_and_the_document_names_it(shop: Project, workers: int) -> None:
    end = shop.run(*MARKED, SELLS, *(["-n", str(workers)] if workers else []))
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    [version] = [each["version"] for each in end.document["systems"] if "selling" in each["version"]]
    assert "selling aperture.yaml sha256:" in version
    assert " in the copy sha256:" in version
    assert end.folder is not None
    rows = [json.loads(line) for line in _table(end.folder, "configuration_changes").splitlines()]
    assert {"key": "services[0].address", "was": "backend:8000", "is": "seller.l402.test:80"} in rows
    assert '"code":"host-not-bound"' in _table(end.folder, "configuration_findings")
    assert '"host":"api.example.com","path":"/v1/"' in _table(end.folder, "exchanges")
    texts = [path.read_bytes() for path in end.folder.rglob("*") if path.is_file()]
    assert not any(b"s3cr3t" in text for text in texts)


@pytest.mark.slow
def test_a_program_sells_the_file_and_sees_what_its_headers_name(
    shop: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.replace("aperture.yaml", "s3cr3t-of-the-backend", "${BACKEND_KEY}")
    monkeypatch.setenv("BACKEND_KEY", "s3cr3t-of-the-backend")
    program = shop.root / "aperture"
    program.write_text(
        f'#!/bin/sh\n[ "$BACKEND_KEY" ] && exec {sys.executable} -m pytest_l402 gateway "$@"\n'
    )
    program.chmod(0o755)
    end = shop.run(*MARKED, SELLS, f"--l402-gateway=aperture:{program}", "--l402-gateway-invoices=wavelength")
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    [system] = [each for each in end.document["systems"] if "selling" in each["version"]]
    [file] = [part["name"] for part in system["parts"] if part["role"] == "gateway configuration"]
    assert system["version"].endswith(f" in the copy {file.removeprefix('aperture.yaml, ')}")
    assert end.folder is not None
    rows = [json.loads(line) for line in _table(end.folder, "configuration_changes").splitlines()]
    assert {row["is"] for row in rows if row["key"] == "services[0].protocol"} == set()
    assert re.fullmatch(r"127\.0\.0\.1:\d+", next(row["is"] for row in rows if row["key"] == "listenaddr"))
    assert '"configuration":null' in _table(end.folder, "gateway_runs")
    assert not any(b"s3cr3t" in path.read_bytes() for path in end.folder.rglob("*") if path.is_file())


def _table(folder: Path, name: str) -> str:
    [path] = folder.rglob(f"alpha/*/{name}.jsonl")
    return path.read_text()


def test_a_role_that_nothing_plays_is_not_run_by_name(shop: Project) -> None:
    shop.write("rehearsals/test_alpha.py", REHEARSALS.replace("ROLE", "expensive"))
    end = shop.run(*MARKED, SELLS)
    assert (end.exit, end.verdict) == (1, "INCOMPLETE"), end.output
    told = " ".join(end.output.split())
    assert "not run: nothing plays the role expensive of this rehearsal in aperture.yaml: no service" in told


def test_another_price_than_is_stated_is_red(shop: Project) -> None:
    end = shop.run(*MARKED, SELLS, "--l402-sold=premium=/v1/now@50")
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert "expected 50000 msats asked" in " ".join(end.output.split())
    assert "500000 msats" in end.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (PRICE, "", "aperture.yaml:6:5: price-not-written: sold for 1 sat"),
        (PRICE, f'{PRICE}    auth: "yes"\n', "aperture.yaml:13:11: gives-away: auth 'yes'"),
        (PRICE, f'{PRICE}    authwhitelistpaths: ["free"]\n', ":13:26: gives-away: the pattern"),
        ("'^/v1/'", "'^/(v1'", "aperture.yaml:8:17: does-not-start: Aperture does not start: pathregexp"),
        ("services:", "services: []\nservices:", 'does-not-start: Aperture does not start: the key "serv'),
        ("services:", "services: [", "does-not-start: Aperture does not start: "),
    ],
)
def test_a_file_with_an_error_is_not_rehearsed(shop: Project, old: str, new: str, said: str) -> None:
    shop.replace("aperture.yaml", old, new)
    end = shop.run(*MARKED, SELLS)
    assert (end.exit, end.verdict, end.moved) == (4, None, False)
    assert "ERROR: --l402-aperture-config: expected a file without errors, saw " in end.output
    assert said in end.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--l402-aperture-config=none.yaml"], "a file of Aperture's, saw 'none.yaml'; correct the path"),
        (["--l402-aperture-config=tests"], "a file of Aperture's, saw 'tests'; correct the path"),
        ([SELLS, "--l402-mode=live"], "expected nothing beside --l402-mode=live"),
        (["--l402-sold=premium=/v1/a"], "expected --l402-aperture-config beside it"),
        ([SELLS, "--l402-sold=gold=/v1/a"], "each role once, of premium, expensive, expiring, free"),
        ([SELLS, "--l402-sold=free=/a free=/b"], "each role once"),
        ([SELLS, "--l402-sold=premium=v1"], "expected ROLE=PATH or ROLE=PATH@SATS"),
        ([SELLS, "--l402-sold=premium=/v1/a@0"], "expected ROLE=PATH or ROLE=PATH@SATS"),
        ([SELLS, "--l402-sold=premium=/nope"], "aperture.yaml: expected a path that a service answers for"),
        ([SELLS, "--l402-sold=free=/v1/a"], "where 'forecast' asks for a payment; name another"),
    ],
)
def test_what_is_given_wrongly_costs_one_line(shop: Project, options: list[str], said: str) -> None:
    end = shop.run(*MARKED, *options)
    assert (end.exit, end.verdict, end.moved) == (4, None, False)
    [line] = [line for line in end.output.splitlines() if line.startswith("ERROR: ")]
    assert said in line


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"services: \xff", "expected UTF-8, saw another byte at offset 10"),
        (b"", "expected at least one service, saw none"),
        (b"services:\n" + b"  - {name: s}\n" * 100_000, "expected at most 524288 bytes, saw more"),
        (b"services:\n" + b"  - {name: s}\n" * 251, "expected at most 250 services, saw 251"),
    ],
    ids=["no text", "empty", "100,000 services", "251 services"],
)
def test_a_file_that_nobody_can_rehearse_costs_one_line(shop: Project, data: bytes, said: str) -> None:
    (shop.root / "aperture.yaml").write_bytes(data)
    end = shop.run(*MARKED, SELLS)
    assert (end.exit, end.verdict) == (4, None)
    [line] = [line for line in end.output.splitlines() if line.startswith("ERROR: ")]
    assert line.startswith("ERROR: --l402-aperture-config: aperture.yaml: ")
    assert said in line


def test_nothing_is_deployed_over_somebodys_file(shop: Project) -> None:
    deploys = REHEARSALS.replace("l402_executor.buy", "l402_stack.reconciler().reconcile")
    shop.write(
        "rehearsals/test_alpha.py", deploys.replace("l402_executor", "l402_stack").replace("ROLE", "premium")
    )
    end = shop.run(*MARKED, SELLS)
    assert (end.exit, end.verdict) == (1, "INCOMPLETE"), end.output
    told = " ".join(end.output.split())
    assert "what is sold is aperture.yaml as it stands" in told
