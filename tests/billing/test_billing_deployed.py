"""Somebody's billing service is drilled by URL and the names of a file, and judged by the owner's books."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from drilled_billing import violated

from pytest_l402.billing import Billing, BillingFault, Zygote
from pytest_l402.billing.deployed import DeployedBilling
from pytest_l402.billing.deployed_client import DeployedBillingError
from pytest_l402.billing.mapping import MappingError, read_mapping
from pytest_l402.harness.json_app import Call, JsonApp, Route
from pytest_l402.harness.loopback import LoopbackServer
from pytest_l402.plugin.evidence_fixture import EvidenceCollector

NAMES: dict[str, Any] = {
    "version": 1,
    "token_variable": "THEIR_TOKEN",
    "flags": {"credits": "credits", "x402": "x402"},
    "metrics": {
        "conservation_guard_state": "conservation_guard_state",
        "billing_pending_reconciliation_count": "billing_pending_reconciliation_count",
        "ecs_desired_count_drift": "ecs_desired_count_drift",
    },
    "effects": {
        "credits": {
            "path": "/api/v1/credits/purchase",
            "body": {"account": "ann", "transfer": "{id}", "amountMsats": 1, "recipient": "0xTREASURY"},
        },
        "x402": {"path": "/api/v1/x402/quotes", "body": {"resource": "{id}", "amountMsats": 10}},
    },
    "counted_once": ["transfer-0"],
    "books_late_ms": 1,
}
COUNT = """
import sys
from pathlib import Path
from pytest_l402.billing.log.reader import records_of
from pytest_l402.billing.log.store import Folder
mark = f'"transfer":"{sys.argv[2]}"'.encode()
print(sum(mark in body for _, _, body, _ in records_of(Folder(Path(sys.argv[1])))))
"""
Deployed = Callable[..., tuple[DeployedBilling, EvidenceCollector]]


def written(folder: Path, **changes: Any) -> Path:
    path = folder / "billing.yaml"
    path.write_text(yaml.safe_dump({**NAMES, "url": "http://127.0.0.1:1", **changes}))
    return path


def counter(folder: Path, log: Path) -> str:
    (folder / "count.py").write_text(COUNT)
    return shlex.join([sys.executable, str(folder / "count.py"), str(log)])


def deployed_of(folder: Path, url: str, token: str, **more: Any) -> tuple[DeployedBilling, EvidenceCollector]:
    changes = more.pop("changes", {})
    deployed = DeployedBilling(
        read_mapping(written(folder, url=url, **changes)), {"THEIR_TOKEN": token}, **more
    )
    collector = EvidenceCollector(title="a look", seed="a seed", artifact_dir=folder)
    collector.attach(deployed)
    return deployed, collector


def judged(deployed: DeployedBilling, collector: EvidenceCollector) -> dict[str, list[str]]:
    with contextlib.suppress(pytest.fail.Exception):
        collector.verify(*deployed.checks())
    return {name: told for (_, name), told in violated(collector).items()}


@contextlib.contextmanager
def opened(zygote: Zygote, *faults: BillingFault) -> Iterator[Billing]:
    with Billing(faults=faults, zygote=zygote) as billing:
        billing.open()
        yield billing


def test_all_drills_hold_of_the_reference_service_and_leave_it_as_it_was(
    tmp_path: Path, l402_billing_zygote: Zygote
) -> None:
    with opened(l402_billing_zygote) as billing:
        announced: list[str] = []
        deployed, collector = deployed_of(
            tmp_path,
            billing.service.url,
            billing._secrets["ADMIN_TOKEN"],
            count=counter(tmp_path, billing.folder / "log"),
            may_change=True,
            announce=announced.append,
        )
        flags = billing.flags("before")
        deployed.look()
        deployed.count_past()
        deployed.freeze("credits")
        deployed.ask_again("credits")
        assert judged(deployed, collector) == {}
        assert [check.name for check in collector.checks if not check.mutants] == []
        assert billing.flags("after") == flags
        assert len(announced) == 2
        evidence = json.dumps({name: list(rows) for name, rows in deployed.tables().items()}, default=str)
        assert billing._secrets["ADMIN_TOKEN"] not in evidence


def test_without_permission_nothing_is_changed(tmp_path: Path, l402_billing_zygote: Zygote) -> None:
    with opened(l402_billing_zygote) as billing:
        token = billing._secrets["ADMIN_TOKEN"]
        books = counter(tmp_path, billing.folder / "log")
        deployed, collector = deployed_of(tmp_path, billing.service.url, token, count=books)
        before = billing.tables()["log"]
        deployed.look()
        deployed.count_past()
        for drill in (deployed.freeze, deployed.ask_again):
            with pytest.raises(DeployedBillingError, match=r"--l402-allow-live-changes.*nothing was changed"):
                drill("credits")
        assert billing.tables()["log"] == before
        assert judged(deployed, collector) == {}


@pytest.mark.parametrize(
    ("fault", "drill", "check", "told"),
    [
        (BillingFault.FLAGS_NOT_MOUNTED, "look", "flags_are_told() [GR2]", "expected flag credits on or off"),
        (
            BillingFault.FLAG_WITHOUT_CONSUMER,
            "freeze",
            "answered_by(credits, credits frozen: 503)",
            "expected status 503 of what credits turns off, credits frozen, saw status 200",
        ),
        (
            BillingFault.GUARD_GAUGE_GONE,
            "look",
            "metric_is_well(conservation_guard_state)",
            "expected conservation_guard_state 1, saw null",
        ),
    ],
)
def test_a_fault_of_a_deployed_service_is_found(
    tmp_path: Path, l402_billing_zygote: Zygote, fault: BillingFault, drill: str, check: str, told: str
) -> None:
    with opened(l402_billing_zygote, fault) as billing:
        token = billing._secrets["ADMIN_TOKEN"]
        deployed, collector = deployed_of(tmp_path, billing.service.url, token, may_change=True)
        if drill == "freeze":
            deployed.freeze("credits")
        else:
            deployed.look()
        found = judged(deployed, collector)
    assert found[check][0].startswith(told)


class TheirService:
    """A service of somebody's, which credits each time that it is asked and answers well, or has no guard."""

    def __init__(self, books: Path, metrics: bytes = b"guard_ok NaN\n") -> None:
        self.books = books
        books.touch()
        routes = (
            Route("POST", "/credit", self._credit),
            Route("GET", "/flags", lambda call: {"flags": {"credits": True, "x402": "yes"}}),
            Route("GET", "/health/live", lambda call: {}),
            Route("GET", "/health/ready", lambda call: {}),
        )
        self.server = LoopbackServer(JsonApp(routes))

    def _credit(self, call: Call) -> dict[str, Any]:
        with self.books.open("a") as books:
            books.write(f"{call.body['id']}\n")
        return {"balance": 7}


def test_an_effect_that_was_had_twice_is_found_in_the_books_although_every_answer_is_well(
    tmp_path: Path,
) -> None:
    theirs = TheirService(tmp_path / "books")
    count = "import sys; print(open(sys.argv[1]).read().split().count(sys.argv[2]))"
    books = shlex.join([sys.executable, "-c", count, str(theirs.books)])
    changes = {
        "effects": {"credits": {"path": "/credit", "body": {"id": "{id}"}}},
        "paths": {"flags": "/flags"},
        "metrics": {"conservation_guard_state": "guard_ok"},
    }
    with theirs.server as server:
        deployed, collector = deployed_of(
            tmp_path, server.url, "their-token-1", count=books, may_change=True, changes=changes
        )
        deployed.ask_again("credits")
        deployed.look()
        found = judged(deployed, collector)
    assert found["had_once(credits)"][0].endswith("had its effect once, by your own count, saw 4 times")
    for who in ("without a token", "with a token of nobody"):
        assert found[f"strangers_refused(flags {who}) [TC3]"] == ["expected status 401, 403, saw 200"]
    assert found["metric_is_well(conservation_guard_state)"] == [
        "expected conservation_guard_state 1, saw null"
    ]
    assert found["flags_are_told() [GR2]"] == ["expected flag x402 on or off, saw null"]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"url": "ftp://host"}, "url: expected an http or https URL of a host, without user and query"),
        ({"url": "http://me:pw@host"}, "url: expected an http or https URL of a host"),
        ({"token_variable": None}, "expected token_variable, for whose token the flags are asked"),
        ({"paths": {"metrics": "metrics"}}, "paths.metrics: expected a path that begins with /"),
        ({"paths": {"metrix": "/m"}}, 'paths: expected only live, ready, metrics, flags, saw "metrix"'),
        ({"flags": {"creditz": "c"}}, "flags: expected one of billing, credits"),
        ({"effects": {"nft": {"path": "/n", "body": {"id": "{id}"}}}}, "effects.nft: expected flags.nft"),
        ({"effects": {"credits": {"path": "/n", "body": {}}}}, "effects.credits.body: expected '{id}'"),
        ({"contain_ms": 0}, "contain_ms: expected a number above 0 and up to 600000, saw 0"),
        ({"version": 2}, "version: "),
    ],
)
def test_a_file_that_cannot_be_used_is_told_in_one_line(
    tmp_path: Path, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(MappingError) as refused:
        read_mapping(written(tmp_path, **changes))
    assert str(refused.value).startswith(f"billing.yaml: {told}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("echo many", "saw 'many 'transfer-0'' and exit code 0; mend echo"),
        (f"{sys.executable} -c 'print(1); raise SystemExit(3)'", "saw '1' and exit code 3"),
        ("/no/such/program", "No such file"),
        ("'unclosed", "No closing quotation"),
    ],
)
def test_a_counter_that_does_not_count_is_told_in_one_line(tmp_path: Path, command: str, told: str) -> None:
    deployed, _ = deployed_of(tmp_path, "http://127.0.0.1:1", "their-token-1", count=command)
    with pytest.raises(DeployedBillingError, match="--l402-count-cmd") as refused:
        deployed.count_past()
    assert told.replace("many 'transfer-0'", "many transfer-0") in str(refused.value)
    assert "\n" not in str(refused.value)


def test_what_is_needed_is_told_before_anything_is_asked(tmp_path: Path) -> None:
    with pytest.raises(DeployedBillingError, match="in THEIR_TOKEN, saw none; set it"):
        DeployedBilling(read_mapping(written(tmp_path)), {})
    deployed, _ = deployed_of(tmp_path, "http://127.0.0.1:1", "their-token-1", may_change=True)
    with pytest.raises(DeployedBillingError, match="expected --l402-count-cmd=CMD"):
        deployed.ask_again("credits")
    with pytest.raises(DeployedBillingError, match=r"expected effects\.nft in the mapping"):
        deployed.freeze("nft")
    with pytest.raises(DeployedBillingError, match="expected a drill before checks"):
        deployed.checks()


@pytest.mark.slow
def test_a_run_drills_what_the_file_names_in_live_mode_only(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        def test_look(l402_deployed_billing, l402_evidence):
            l402_deployed_billing.look()
            l402_evidence.verify(*l402_deployed_billing.checks())
        """
    )
    theirs = TheirService(pytester.path / "books")
    options = ("-p", "no:cacheprovider", "-p", "no:valkey")
    pytester.runpytest_subprocess(*options).assert_outcomes(skipped=1)
    live = (*options, "--l402-mode=live", "--l402-billing=billing.yaml")
    with theirs.server as server:
        changes = {"flags": {}, "metrics": {}, "effects": {}, "token_variable": None}
        written(pytester.path, url=server.url, **changes)
        pytester.runpytest_subprocess(*live).assert_outcomes(passed=1)
    written(pytester.path, url="nowhere")
    broken = pytester.runpytest_subprocess(*live)
    broken.assert_outcomes(errors=1)
    broken.stdout.fnmatch_lines(["*billing.yaml: url: expected an http or https URL*"])
    assert "Traceback" not in broken.stdout.str()


def test_a_file_that_is_checked_in_chooses_no_command(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml('[tool.pytest]\nl402_count_cmd = "rm"\n')
    refused = pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:valkey")
    assert refused.ret == pytest.ExitCode.USAGE_ERROR
    refused.stderr.fnmatch_lines(["ERROR: *expected nothing, saw 'rm'; give --l402-count-cmd by hand"])
