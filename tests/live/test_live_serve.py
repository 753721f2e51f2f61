"""`pytest-l402 serve`: it says where it is, serves what it was told to, and ends cleanly."""

import json
import os
import shlex
import signal
import subprocess
from pathlib import Path

import httpx
import pytest
from served_platform import ENTRY, START_S, Platform, first_line, served

from pytest_l402.cli import main


def test_it_says_where_it_is_for_a_program(platform: Platform) -> None:
    told = platform.told
    assert told["ok"] is True
    assert told["pid"] == platform.process.pid
    for url in (told["gatewayUrl"], told["controlPlaneUrl"]):
        assert url.startswith("http://127.0.0.1:")
    assert httpx.get(f"{told['gatewayUrl']}/healthz", trust_env=False).text == "ok\n"
    assert (
        httpx.get(platform.environment["OA_LIGHTNING_OPS_CHALLENGE_URL"], trust_env=False).status_code == 402
    )


def test_its_prepaid_proof_is_accepted(platform: Platform) -> None:
    paid = httpx.get(
        platform.environment["OA_LIGHTNING_OPS_PROXY_URL"],
        headers={"Authorization": platform.environment["OA_LIGHTNING_OPS_PROXY_AUTHORIZATION_HEADER"]},
        trust_env=False,
    )
    assert paid.status_code == 200


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_it_ends_with_a_signal_and_says_so_to_the_shell(name: str) -> None:
    with subprocess.Popen(
        [*ENTRY, "serve"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert first_line(process).startswith("export OA_LIGHTNING_OPS_API_BASE_URL=http://127.0.0.1:")
        # Again and again, as an impatient person does it.
        while process.poll() is None:
            process.send_signal(signal.Signals[name])
        assert process.stdout is not None
        assert process.stderr is not None
        # Not with communicate(): that reads past what the stream took up together with the first line.
        out, err = process.stdout.read(), process.stderr.read()
    assert process.returncode == 0, err
    assert "Traceback" not in err
    for line in out.splitlines():
        assert len(shlex.split(line)) == 2


def test_its_exports_are_read_by_a_shell_as_they_are(tmp_path: Path) -> None:
    with subprocess.Popen(
        [*ENTRY, "serve", "--until-eof", "--seed=7"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        out, _ = process.communicate("", timeout=START_S)
    script = f"{out}\nenv"
    shown = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True, env={}).stdout
    proof = next(line for line in shown.splitlines() if "PROXY_AUTHORIZATION_HEADER=" in line)
    scheme, credential = proof.partition("=")[2].split(" ")
    assert (scheme, credential.count(":")) == ("L402", 1)


def exit_code(*arguments: str) -> object:
    """How the command ends that is refused before it serves."""
    try:
        return main(["serve", "--json", "--until-eof", *arguments])
    except SystemExit as ended:
        return ended.code


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--fault=Nope"], "bad_fault", "Nope"),
        (["--form=grpc"], "invalid_arguments", "grpc"),
        (["--record=/no/such/folder/x"], "bad_input", "--record"),
        (["--scenario="], "bad_input", "--scenario"),
        (["--nope"], "invalid_arguments", "--nope"),
    ],
)
def test_arguments_that_cannot_be_used(
    arguments: list[str], code: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert exit_code(*arguments) == 2
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert (document["ok"], document["failureCode"]) == (False, code)
    assert text in document["error"]
    assert len(err.splitlines()) <= 1


@pytest.mark.parametrize(
    ("scenario", "text"),
    [
        ("{", "complete JSON"),
        ("[]", "an object with faults and prices"),
        ('{"fault":[]}', "an object with faults and prices"),
        ('{"faults":[{"fault":"DeployFailur"}]}', "did you mean DeployFailure?"),
        ('{"faults":[{"fault":"DeployFailure","how":"slowly"}]}', "expected one of refused"),
        ('{"faults":[{"fault":"DeployFailure","when":"now"}]}', "DeployFailure takes how"),
        ('{"faults":[{"fault":"RollbackFailure","silent":"yes"}]}', "expected bool"),
        ('{"faults":["DeployFailure"]}', "a list of objects"),
        ('{"prices":{"pw_premium":-1}}', "msats above 0"),
    ],
)
def test_a_scenario_that_cannot_be_played(
    scenario: str, text: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "scenario.json"
    path.write_text(scenario)
    assert exit_code(f"--scenario={path}") == 2
    assert text in json.loads(capsys.readouterr().out)["error"]


def test_a_scenario_that_breaks_while_it_is_played_fails_the_request_and_the_command(tmp_path: Path) -> None:
    with served(tmp_path) as platform:
        (tmp_path / "scenario.json").write_text("{")
        assert httpx.get(f"{platform.told['gatewayUrl']}/healthz", trust_env=False).status_code == 500
        assert platform.end() == 1
        assert platform.process.stderr is not None
        assert "scenario.json" in platform.process.stderr.read()
        platform.ended = True


def test_faults_come_and_go_with_the_scenario_and_by_request(platform: Platform) -> None:
    url = f"{platform.told['gatewayUrl']}/status"

    def ask(request_id: str) -> int:
        headers = {"x-oa-request-id": request_id}
        return httpx.get(url, headers=headers, trust_env=False).status_code

    assert ask("a") == 200
    platform.play({"fault": "UpstreamFailure", "status": 503, "requestId": "a"})
    assert (ask("a"), ask("b")) == (503, 200)
    platform.play({"fault": "UpstreamFailure"})
    assert (ask("a"), ask("b")) == (503, 503)
    platform.play({"fault": "GatewayDown"})
    with pytest.raises(httpx.RemoteProtocolError):
        ask("a")
    platform.play()
    assert ask("a") == 200
    assert platform.requests()[-2]["status"] is None


def test_a_fault_may_stand_from_the_start(tmp_path: Path) -> None:
    with served(tmp_path, "--fault=UpstreamFailure:502") as platform:
        assert httpx.get(f"{platform.told['gatewayUrl']}/status", trust_env=False).status_code == 502


def test_a_fault_that_never_happened_is_told_at_the_end(tmp_path: Path) -> None:
    with served(tmp_path, "--fault=UpstreamFailure:502", "--fault=PreimageMissing") as platform:
        httpx.get(f"{platform.told['gatewayUrl']}/status", trust_env=False)
        assert platform.end() == 1
        platform.ended = True
        assert platform.process.stderr is not None
        told = platform.process.stderr.read()
    assert "expected PreimageMissing to happen, saw that nothing met it" in told
    assert "expected UpstreamFailure" not in told


def test_the_record_holds_no_secret_and_tells_reads_from_changes(platform: Platform, state: Path) -> None:
    with platform.live(state, allow_changes=True) as live:
        live.reconcile("recorded")
        live.run_security_drill()
        live.settlements.all()
    text = (platform.folder / "requests.jsonl").read_text()
    for secret in platform.secrets:
        assert secret not in text
    kinds = {(row["path"].rpartition("/")[2], row["kind"]) for row in platform.requests()}
    assert kinds == {
        *{("query", "read"), ("mutation", "change"), ("deployment", "read"), ("deploy", "change")},
        *{("healthz", "read"), ("premium", "read"), ("settlements", "read")},
    }


def test_nothing_of_a_live_run_holds_a_secret(platform: Platform, state: Path) -> None:
    said: list[str] = []
    with platform.live(state, allow_changes=True, said=said) as live:
        live.reconcile("canary")
        live.run_security_drill()
        shown = [repr(live.tables()), repr(live), *map(repr, vars(live).values()), *said]
    held = b"".join(path.read_bytes() for path in state.rglob("*") if path.is_file())
    for secret in platform.secrets:
        assert secret.encode() not in held
        assert not any(secret in text for text in shown)


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    """A test run that is killed leaves no server behind: the pipe to its standard input closes."""
    reader, writer = os.pipe()
    with subprocess.Popen(
        [*ENTRY, "serve", "--json", "--until-eof"],
        stdin=reader,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        os.close(reader)
        json.loads(first_line(process))
        os.close(writer)
        assert process.wait(START_S) == 0


def test_its_own_shop_is_deployed_so_that_the_example_works_at_once(tmp_path: Path, state: Path) -> None:
    with served(tmp_path) as platform:
        with platform.live(state) as live:
            summary = live.inspect("at-once")
        assert summary.ok, summary.failure_reason
        assert platform.changes() == []
        platform.play(price_msats=40_000)
        with platform.live(state) as live:
            assert live.inspect("dearer").deployment_status == "pending"


def test_each_request_has_an_id_that_is_answered_recorded_and_logged(tmp_path: Path) -> None:
    with served(tmp_path) as platform:
        gateway, plane = platform.told["gatewayUrl"], platform.told["controlPlaneUrl"]
        answered = []
        for url in (
            f"{gateway}/healthz",
            f"{gateway}/premium",
            f"{gateway}/ops/deployment",
            f"{plane}/nothing",
        ):
            for given in ({}, {"x-oa-request-id": "mine"}, {"x-oa-request-id": "not one"}):
                answered.append(httpx.get(url, headers=given, trust_env=False).headers["x-oa-request-id"])
        assert answered[1::3] == ["mine"] * 4
        own = answered[::3] + answered[2::3]
        assert len(set(own)) == len(own)
        assert [row["requestId"] for row in platform.requests()] == answered
        assert platform.end() == 0
        platform.ended = True
        assert platform.process.stderr is not None
        logged = platform.process.stderr.read().splitlines()
    assert [line.split()[1] for line in logged] == [f"oa_req={request_id}" for request_id in answered]
    assert logged[1] == "plane=gateway oa_req=mine GET /healthz 200"
    assert logged[-2] == "plane=control oa_req=mine GET /nothing 401"


def test_a_log_that_nobody_reads_holds_nobody_up(tmp_path: Path) -> None:
    with served(tmp_path) as platform, httpx.Client(trust_env=False) as client:
        # Several times what a pipe takes up.
        for _ in range(60):
            client.get(f"{platform.told['gatewayUrl']}/status/{'x' * 4000}", timeout=START_S)
        assert platform.end() == 0
        platform.ended = True
