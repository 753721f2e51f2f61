"""The service refuses what it cannot take, names it, loses nothing and mints nothing."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pytest_l402.billing as billing_room
from pytest_l402.billing import API, Billing, Folder, LogWriter, Zygote
from pytest_l402.billing.ledger import Ledger, OutOfOrder, Unbalanced, moved
from pytest_l402.harness.deadline import Deadline


@pytest.fixture(scope="module")
def running(l402_billing_zygote: Zygote) -> Iterator[Billing]:
    with Billing(zygote=l402_billing_zygote) as billing:
        billing.open()
        billing.reserve("held", 500)
        yield billing


BAD_AMOUNTS = [-1, 0, 1.5, 10**19, "100", None, True, [], float("1e400")]


@pytest.mark.parametrize("amount", BAD_AMOUNTS, ids=str)
def test_an_amount_that_is_none_is_refused_by_name(running: Billing, amount: Any) -> None:
    records = running.tables()["log"]
    for answer in (running.purchase("bad", amount), running.reserve("bad", amount)):
        assert answer.status == 400
        assert answer.code in ("MALFORMED_AMOUNTMSATS", "invalid_json")
    assert running.tables()["log"] == records


@pytest.mark.parametrize(
    ("path", "document", "status", "code"),
    [
        ("billing/reserve", {"entry": "e", "account": "nobody", "amountMsats": 1}, 404, "UNKNOWN_ACCOUNT"),
        ("billing/reserve", {"entry": "held", "account": "ann", "amountMsats": 501}, 409, "ENTRY_DIFFERS"),
        ("billing/reserve", {"entry": "a\nb", "account": "ann", "amountMsats": 1}, 400, "MALFORMED_ENTRY"),
        ("billing/commit", {"entry": "never", "costMsats": 1}, 404, "ENTRY_UNKNOWN"),
        ("billing/commit", {"entry": "held", "costMsats": 1.5}, 400, "MALFORMED_COSTMSATS"),
        ("billing/commit", {"entry": "held", "costMsats": 501}, 422, "INVARIANT_BUDGET_CONSERVATION"),
        ("billing/commit", {"entry": "held", "costMsats": 1, "rate": "1"}, 422, "INVARIANT_RATE_CONSISTENCY"),
        ("billing/callbacks", {"entry": "held", "result": "maybe", "attempt": 1}, 400, "MALFORMED_CALLBACK"),
        ("admin/feature-flags", {"flag": "unheard-of", "enabled": True}, 400, "INVALID_REQUEST"),
        ("admin/feature-flags", {"flag": "x402", "enabled": 1}, 400, "INVALID_REQUEST"),
        ("admin/guard/judge", {"invariant": "unheard-of", "values": {}}, 400, "MALFORMED_INVARIANT"),
        ("admin/guard/lattice", {"evaluator": "maybe", "adhoc": "pass"}, 400, "MALFORMED_OUTCOME"),
    ],
)
def test_what_cannot_be_done_is_refused_by_name(
    running: Billing, path: str, document: dict[str, Any], status: int, code: str
) -> None:
    records = running.tables()["log"]
    answer = running.service.post(f"{API}/{path}", document)
    assert (answer.status, answer.code) == (status, code)
    assert running.tables()["log"] == records


def test_the_same_again_is_answered_as_the_first_time(running: Billing) -> None:
    first = running.reserve("twice", 10)
    assert (first.status, running.reserve("twice", 10).document) == (200, first.document)
    records = running.tables()["log"]
    assert running.reserve("twice", 10).status == 200
    assert running.purchase("transfer-0", 1_000_000).status == 200
    assert running.purchase("transfer-0", 999).code == "TRANSFER_DIFFERS"
    assert running.tables()["log"] == records


def test_a_claimed_payment_is_credited_to_nobody_else(running: Billing) -> None:
    running.quote()
    told = {"resource": "r", "from": "0xB", "to": running.treasury, "nonce": "theirs", "amountMsats": 10}
    told |= {"validBeforeMs": 4_000_000_000_000}
    paid = [
        running.service.post(f"{API}/x402/pay", {**told, "account": account})
        for mood, account in (("fails", "ann"), ("works", "eve"), ("works", "ann"), ("works", "eve"))
        if running.backend.set_mood(mood) is None  # type: ignore[arg-type]
    ]
    assert [answer.code for answer in paid] == [
        "SETTLEMENT_UNAVAILABLE", "PAYMENT_DIFFERS", None, "PAYMENT_REPLAYED",
    ]  # fmt: skip
    assert running.service.get(f"{API}/balances/eve").code == "UNKNOWN_ACCOUNT"


def test_no_token_is_no_admin(running: Billing) -> None:
    answer = running.service.post(
        f"{API}/admin/feature-flags", {"flag": "x402", "enabled": False}, token=None
    )
    assert (answer.status, answer.code) == (401, "ADMIN_AUTH_REQUIRED")


def test_an_account_whose_treasury_is_not_ours_gets_nothing(running: Billing) -> None:
    assert running.purchase("elsewhere", 100, "0xOTHER").code == "INVALID_RECIPIENT"


def test_a_ledger_takes_no_record_that_mints_or_does_not_follow() -> None:
    ledger = Ledger()
    mint = {"type": "credit_mint", "account": "ann", "transfer": "t", "amountMsats": 5}
    with pytest.raises(Unbalanced, match="saw -4995"):
        ledger.expect({**mint, "postings": [("treasury", -5000), ("available:ann", 5)]})
    ledger.apply(1, {**mint, "postings": moved(5, "treasury", "available:ann")})
    with pytest.raises(OutOfOrder, match="one that was minted"):
        ledger.expect({**mint, "postings": []})
    with pytest.raises(OutOfOrder, match="expected RESERVE_HELD, saw none"):
        ledger.expect({"type": "billing_commit", "entry": "e"})
    before = ledger.digest()
    ledger.apply(1, {**mint, "postings": moved(5, "treasury", "available:ann")})
    assert ledger.digest() == before


def test_nothing_is_left_when_the_run_is_killed(tmp_path: Path) -> None:
    program = """
        import os, sys, time
        from pytest_l402.billing import Billing
        with Billing() as billing:
            service = billing.open()
            print(service.process.pid, billing.cache._process.pid, flush=True)
            assert any(os.scandir(os.environ["TMPDIR"]))
            sys.stdin.read()
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    ) as run:
        assert run.stdout is not None
        pids = [int(pid) for pid in run.stdout.readline().split()]
        run.send_signal(signal.SIGKILL)
    deadline = Deadline(10.0)
    while alive := [pid for pid in pids if Path(f"/proc/{pid}").exists()]:
        assert not deadline.over, f"still there 10 s after the run was killed: {alive}"
    while left := sorted(tmp_path.iterdir()):
        assert not deadline.over, f"still there 10 s after the run was killed: {left}"


def test_all_that_the_room_offers_is_there() -> None:
    assert {name for name in billing_room.__all__ if not hasattr(billing_room, name)} == set()
    assert {*billing_room.__all__} == {*billing_room._MODULES}
    with pytest.raises(AttributeError, match="has no nothing"):
        _ = billing_room.nothing


def refused_by(billing: Billing) -> str:
    service = billing.start("two", wait_ready=False)
    told = billing.observe("refused", service)
    assert told["status"] == 503
    with billing.using(service):
        answer = billing.purchase("late")
        assert (answer.status, answer.code) == (503, told["refusal"])
    events: Any = billing.tables()["service_events"]
    row = next(row for row in events if row["event"] == "log refused" and row["instance"] == "two")
    return f"{told['refusal']}: {row['detail']['why']}"


def test_a_log_that_may_not_be_read_or_written_is_told_and_taken_up_when_it_may(
    l402_billing_zygote: Zygote,
) -> None:
    with Billing(zygote=l402_billing_zygote) as billing:
        billing.kill(billing.open())
        segment = sorted((billing.folder / "log").glob("*.log"))[0]
        segment.rename(segment.with_suffix(".kept"))
        segment.mkdir()
        assert refused_by(billing).startswith("LOG_UNAVAILABLE: [Errno 21] Is a directory")
        segment.rmdir()
        segment.with_suffix(".kept").rename(segment)
        billing.until("ready again", lambda: billing.service.get("/health/ready").status == 200)
        assert billing.purchase("transfer-0", 1_000_000).status == 200
        assert len([row for row in billing.tables()["log_records"] if row["type"] == "credit_mint"]) == 1


def test_a_log_without_permission_gets_no_segment(tmp_path: Path) -> None:
    program = f"""
        import os, pathlib
        from pytest_l402.billing.log.store import Folder
        from pytest_l402.billing.log.writer import LogWriter
        if os.geteuid() == 0:
            os.setuid(65534)
        try:
            LogWriter(Folder(pathlib.Path({str(tmp_path)!r}) / "log"), "a")
        except PermissionError as refused:
            print(refused)
    """
    (tmp_path / "log").mkdir(mode=0o700)
    (tmp_path / "log").chmod(0o500)
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Permission denied" in done.stdout
    assert list((tmp_path / "log").iterdir()) == []


def test_a_service_on_a_full_disk_refuses_and_takes_the_same_again_when_there_is_room(
    l402_billing_zygote: Zygote,
) -> None:
    with Billing(zygote=l402_billing_zygote) as billing:
        service = billing.open()
        limits = resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE)
        # Less than any file of it has: not even an event can be told.
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, (1, limits[1]))
        said = [service.post(f"{API}/conversations/c", {"text": "m"}) for _ in range(5)]
        assert [answer.code for answer in said] == [None] * 4 + ["SNAPSHOT_UNAVAILABLE"]
        answers = [billing.purchase("late"), billing.reserve("late"), billing.toggle("nft", True)]
        assert {(answer.status, answer.code) for answer in answers} == {(503, "LOG_FULL")}
        resource.prlimit(service.process.pid, resource.RLIMIT_FSIZE, limits)
        assert [billing.purchase("late").status, billing.reserve("late").status] == [200, 200]
        assert billing.tables()["log"] == [{"records": 6, "problem": None}]


@pytest.mark.parametrize(("entry", "has_it"), [("a/b?c é", True), ("..", False), ("held?", False)])
def test_the_backend_is_asked_for_the_entry_itself_however_it_is_spelled(
    l402_billing_zygote: Zygote, entry: str, has_it: bool
) -> None:
    with Billing(zygote=l402_billing_zygote) as billing:
        billing.open()
        billing.reserve(entry)
        billing.backend.set_mood("fails")
        billing.commit(entry)
        billing.poisoned(1)
        billing.backend.set_mood("works")
        # What another path would ask for.
        billing.backend.do_unheard("held")
        if has_it:
            billing.backend.do_unheard(entry)
        assert billing.resolve(entry).document["state"] == ("FINALIZE_ACKED" if has_it else "VOIDED")


def test_a_log_that_lost_its_end_is_refused_since_the_cache_has_heard_of_it(
    l402_billing_zygote: Zygote,
) -> None:
    with Billing(zygote=l402_billing_zygote) as billing:
        billing.restart(billing.open())
        billing.purchase("late")
        billing.kill(billing.service)
        newest = sorted((billing.folder / "log").glob("*.log"))[-1]
        newest.rename(newest.with_suffix(".kept"))
        assert refused_by(billing).startswith("LOG_DAMAGED: log: expected record 6, which the cache")
        billing.kill(billing.service)
        for segment in (billing.folder / "log").glob("*.log"):
            if segment.name >= newest.name:
                segment.unlink()
        newest.with_suffix(".kept").rename(newest)
        billing.start("three")
        assert billing.purchase("late").status == 200
        records: Any = billing.tables()["log_records"]
        assert [row["transfer"] for row in records if row["type"] == "credit_mint"] == ["transfer-0", "late"]


@pytest.mark.parametrize(
    "body", [b"hello", b"[]", b'{"type":"credit_mint","atMs":1}', b'{"type":1,"atMs":1}']
)
def test_a_record_of_something_else_is_damage_that_is_named(l402_billing_zygote: Zygote, body: bytes) -> None:
    with Billing(zygote=l402_billing_zygote) as billing:
        billing.kill(billing.open())
        with LogWriter(Folder(billing.folder / "log"), "somebody") as writer:
            writer.append(body)
        told = refused_by(billing)
        assert told.startswith("LOG_DAMAGED: log: expected a record of a billing service")
        assert "saw record 6, which it did not write" in told
        assert told.endswith("restore the segment from a replica")
        assert billing.tables()["log"][0]["problem"] is not None
        assert len([*(billing.folder / "log").glob("*.log")]) < 6
