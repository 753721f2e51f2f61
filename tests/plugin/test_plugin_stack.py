"""The stack as fixtures: reachable by any client, replaceable part by part, repeatable, silent on secrets."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from plugin_project import ON_WORKERS_TOO, End, Project

MARKED = ("-m", "rehearsal")
HEAD = """\
import pytest
from pytest_l402.evidence import paid_exactly_once, payments_agree, steady_state_restored

pytestmark = pytest.mark.rehearsal("alpha", runbook="book", section="1")
"""
BUY = """
def test_alpha(l402_executor, l402_evidence):
    purchase = l402_executor.buy("/premium")
    once = paid_exactly_once(purchase).proves("1.free")
    l402_evidence.verify(once, payments_agree(), steady_state_restored())
"""


def run_alpha(project: Project, body: str, *args: str, workers: int = 0) -> End:
    project.write("rehearsals/test_alpha.py", HEAD + body)
    return project.run(*MARKED, "--l402-required=first", *args, workers=workers)


def evidence_of(end: End, rehearsal: str = "alpha") -> dict[str, bytes]:
    assert end.folder is not None
    files = (path for path in (end.folder / "evidence" / rehearsal).rglob("*") if path.is_file())
    return {path.relative_to(end.folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_a_purchase_leaves_evidence_of_every_part(project: Project, workers: int) -> None:
    end = run_alpha(project, BUY, workers=workers)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    tables = {Path(path).stem for path in evidence_of(end) if path.endswith(".jsonl")}
    assert {"records", "exchanges", "payments", "invoices", "settlements", "logs", "projection"} <= tables
    assert {"local_artifact", "steady_state"} <= tables


def test_any_httpx_client_reaches_the_stack_and_none_does_after_it(project: Project) -> None:
    project.write(
        "tests/test_client.py",
        "import anyio, httpx, pytest\n\n"
        "URL = 'https://gateway.l402.test/premium'\n\n"
        "def test_inside(l402_stack):\n"
        "    assert httpx.get(URL).status_code == 402\n"
        "    async def ask():\n"
        "        async with httpx.AsyncClient() as client:\n"
        "            return await client.get(URL)\n"
        "    assert anyio.run(ask).status_code == 402\n\n"
        "def test_outside():\n"
        "    with pytest.raises(httpx.ConnectError):\n"
        "        httpx.get(URL)\n",
    )
    end = project.run("tests")
    assert (end.exit, end.verdict) == (0, None), end.output


def test_each_test_has_a_stack_of_its_own(project: Project) -> None:
    project.write(
        "tests/test_client.py",
        "import pytest\n\n"
        "@pytest.mark.parametrize('case', ['a', 'b'])\n"
        "def test_first_purchase(l402_executor, l402_stack, case):\n"
        "    assert l402_executor.buy('/premium').status == 'paid'\n"
        "    assert len(l402_stack.tables()['payments']) == 1\n",
    )
    assert project.run("tests").exit == 0


@pytest.mark.slow
def test_same_seed_same_bytes_in_process_and_on_two_workers(project: Project) -> None:
    first = run_alpha(project, BUY, "--l402-seed=5")
    before = evidence_of(first)
    assert before
    second = project.end_of_second(first, *MARKED, "--l402-required=first", "--l402-seed=5", workers=2)
    assert evidence_of(second) == before
    third = project.end_of_third(second, *MARKED, "--l402-required=first", "--l402-seed=6")
    assert evidence_of(third).keys() == before.keys()
    assert evidence_of(third) != before


def test_seed_of_a_test_does_not_depend_on_what_else_runs(project: Project) -> None:
    first = run_alpha(project, BUY)
    before = evidence_of(first)
    second = project.end_of_second(first, "rehearsals/test_alpha.py")
    assert second.verdict == "DRILL"
    assert evidence_of(second) == before


def test_clock_freezes_the_process_and_leaves_durations_alone(project: Project) -> None:
    project.write(
        "tests/test_clock.py",
        "import time\n\n"
        "def test_clock(l402_clock, l402_executor):\n"
        "    with l402_clock.frozen():\n"
        "        assert int(time.time() * 1000) == l402_clock.now_ms()\n"
        "        l402_clock.advance(61_000)\n"
        "        assert int(time.time() * 1000) == l402_clock.now_ms()\n"
        "        assert l402_executor.buy('/premium').paid\n",
    )
    end = project.run("tests", "--durations=0", "--durations-min=0")
    assert end.exit == 0, end.output


def test_clock_of_the_stack_can_be_overridden(project: Project) -> None:
    project.write(
        "conftest.py",
        "import pytest\nfrom pytest_l402.stack import StackClock\n\n"
        "@pytest.fixture\ndef l402_clock():\n    return StackClock(1_000_000_000_000)\n",
    )
    end = run_alpha(project, BUY)
    assert end.verdict == "SIGNED_OFF", end.output
    (first, *_) = next(
        data for path, data in evidence_of(end).items() if path.endswith("records.jsonl")
    ).splitlines()
    assert json.loads(first)["observedAtMs"] < 1_000_000_100_000


def test_own_executor_is_what_the_full_flow_buys_with(project: Project) -> None:
    project.write(
        "conftest.py",
        "import pytest\n\n"
        "class Mine:\n"
        "    def __init__(self, inner):\n"
        "        self.inner = inner\n"
        "        self.bought = []\n"
        "    def buy(self, path_or_url):\n"
        "        self.bought.append(path_or_url)\n"
        "        return self.inner.buy(path_or_url)\n\n"
        "@pytest.fixture\n"
        "def l402_executor(l402_stack):\n"
        "    return Mine(l402_stack.executor)\n",
    )
    project.write(
        "tests/test_mine.py",
        "def test_flow(l402_full_flow, l402_executor, l402_stack):\n"
        "    assert l402_stack.executor is l402_executor\n"
        "    l402_full_flow()\n"
        "    assert '/premium' in l402_executor.bought\n",
    )
    end = project.run("tests", "--l402-allow-missing-local-artifact")
    assert end.exit == 0, end.output


@pytest.mark.parametrize("role", ["gateway", "control_plane", "settlement_store", "wallet"])
def test_own_part_is_what_the_rest_of_the_stack_talks_to(project: Project, role: str) -> None:
    project.write(
        "conftest.py",
        "import pytest\n\n"
        "class Mine:\n"
        "    def __init__(self, inner):\n"
        "        self.inner = inner\n"
        "        self.asked = []\n"
        "    def __getattr__(self, name):\n"
        "        self.asked.append(name)\n"
        "        return getattr(self.inner, name)\n\n"
        "@pytest.fixture\n"
        f"def l402_{role}(l402_stack):\n"
        f"    return Mine(l402_stack.{role})\n",
    )
    project.write(
        "tests/test_mine.py",
        f"def test_buy(l402_executor, l402_{role}, l402_stack):\n"
        f"    assert l402_stack.{role} is l402_{role}\n"
        f"    l402_{role}.asked.clear()\n"
        "    assert l402_executor.buy('/premium').paid\n"
        f"    assert l402_{role}.asked\n",
    )
    end = project.run("tests")
    assert end.exit == 0, end.output


def test_own_part_is_used_even_if_the_test_does_not_name_it(project: Project) -> None:
    project.write(
        "conftest.py",
        "import pytest\n\n"
        "class Refusing:\n"
        "    def handle(self, request):\n"
        "        raise RuntimeError('reached')\n\n"
        "@pytest.fixture\n"
        "def l402_gateway(l402_stack):\n"
        "    return Refusing()\n",
    )
    project.write(
        "tests/test_mine.py",
        "import pytest\n\n"
        "def test_buy(l402_executor):\n"
        "    with pytest.raises(RuntimeError, match='reached'):\n"
        "        l402_executor.buy('/premium')\n",
    )
    assert project.run("tests").exit == 0


FULL_FLOW = """
def test_alpha(l402_full_flow, l402_evidence):
    flow = l402_full_flow()
    l402_evidence.verify(paid_exactly_once(flow.paid).proves("1.free"))
"""


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_full_flow_lies_where_the_runbook_looks(project: Project, workers: int) -> None:
    end = run_alpha(project, FULL_FLOW, workers=workers)
    assert end.verdict == "SIGNED_OFF", end.output
    output = project.root / "output"
    (folder,) = (output / "lightning-ops" / "full-flow").iterdir()
    assert {path.name for path in folder.iterdir()} == {"events.jsonl", "summary.json"}
    summary = (output / "l402-hosted-full-flow-summary.json").read_bytes()
    assert summary == (folder / "summary.json").read_bytes()
    assert json.loads(summary)["ok"] is True
    assert (output / "l402-local-node-smoke-artifact.json").is_file()


# A buyer whose secrets the test knows, and writes down outside the output folder.
CANARIES = """
import base64, httpx, pathlib
from pytest_l402.protocol import parse_challenges

URL = "https://gateway.l402.test/premium"

def test_alpha(l402_stack, l402_wallet, l402_evidence, request):
    challenge = parse_challenges(httpx.get(URL).headers.get_list("www-authenticate"))[0]
    payment = l402_wallet.pay_invoice(challenge.invoice)
    preimage = payment.preimage.hex()
    token = f"{challenge.macaroon_base64}:{preimage}"
    assert httpx.get(URL, headers={"Authorization": f"L402 {token}"}).status_code == 200
    raw = base64.b64decode(challenge.macaroon_base64)
    canaries = [preimage, challenge.macaroon_base64, raw.hex(), raw[-32:].hex(), token]
    pathlib.Path(request.config.rootpath, "canaries").write_text("\\n".join(canaries))
    l402_evidence.verify(payments_agree().proves("1.free"))
    assert not FAIL, f"L402 {token} and preimage={preimage}"
"""


@pytest.mark.parametrize("failing", [False, True])
def test_no_secret_in_any_file_of_a_run(
    project: Project, failing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    summary = project.root / "output" / "step-summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    end = run_alpha(project, CANARIES.replace("FAIL", str(failing)))
    assert end.verdict == ("NOT_SIGNED_OFF" if failing else "SIGNED_OFF"), end.output
    canaries = (project.root / "canaries").read_text().splitlines()
    written = {path: path.read_bytes() for path in (project.root / "output").rglob("*") if path.is_file()}
    assert summary in written
    assert len(written) > 10
    found = {
        str(path.relative_to(project.root)): canary
        for path, data in written.items()
        for canary in canaries
        if canary.encode() in data
    }
    assert found == {}
    # What is said in the section of the sign-off goes through the same cleaning.
    said = end.output.partition("l402 sign-off =")[2]
    assert not [canary for canary in canaries if canary in said]


REFERENCE = """
from pytest_l402.evidence import reference_artifact_holds

def test_alpha(l402_reference_artifact, l402_evidence):
    l402_evidence.verify(reference_artifact_holds().proves("1.free"))
"""
VECTOR = Path(__file__).parent.parent / "contract" / "vectors" / "local-node-artifact.json"


def test_historical_artifact(project: Project) -> None:
    shutil.copy(VECTOR, project.root / "artifact.json")
    end = run_alpha(project, REFERENCE, "--l402-local-artifact=artifact.json")
    assert end.verdict == "SIGNED_OFF", end.output
    assert {Path(path).name for path in evidence_of(end)} == {
        "local_artifact.jsonl",
        # Those that the artifact holds: the standing checks judge them.
        "records.jsonl",
        "shortfalls.jsonl",
        "secret_scan.jsonl",
        "node.json",
    }


def test_no_historical_artifact_is_that_of_this_run(project: Project) -> None:
    end = run_alpha(project, REFERENCE)
    assert end.verdict == "SIGNED_OFF", end.output
    assert "evidence/alpha/test_alpha/artifacts/l402-local-node-smoke-artifact.json" in evidence_of(end)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"generatedAtMs": 1}'])
def test_broken_historical_artifact(project: Project, content: str) -> None:
    project.write("artifact.json", content)
    end = run_alpha(project, REFERENCE, "--l402-local-artifact=artifact.json")
    assert (end.exit, end.verdict) == (1, "NOT_SIGNED_OFF"), end.output
    assert "artifact.json" in end.output
    assert "Traceback" not in end.output


@pytest.mark.parametrize("workers", ON_WORKERS_TOO)
def test_missing_historical_artifact_shows_as_waived(project: Project, workers: int) -> None:
    project.replace("rehearsals/catalogue.yaml", "  book:", "  observability:")
    project.replace("rehearsals/catalogue.yaml", "runbook: book", "runbook: observability")
    project.replace("rehearsals/catalogue.yaml", '"1.free"', '"2.reference-only"')
    project.replace("rehearsals/test_beta.py", 'runbook="book"', 'runbook="observability"')
    body = REFERENCE.replace("1.free", "2.reference-only")
    project.write(
        "rehearsals/test_alpha.py", (HEAD + body).replace('runbook="book"', 'runbook="observability"')
    )
    options = ("--l402-local-artifact=none.json", "--l402-allow-missing-local-artifact")
    end = project.run(*MARKED, *options, workers=workers)
    assert (end.exit, end.verdict) == (0, "SIGNED_OFF"), end.output
    states = {entry["id"]: entry["state"] for entry in end.document["rehearsals"]}
    assert states == {"alpha": "WAIVED", "beta": "PASSED"}
    (waiver,) = end.document["waivers"]
    assert (waiver["source"], waiver["effect"]) == ("--allow-missing-local-artifact", "waived")
