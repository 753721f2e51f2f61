"""Signatures, approvals, time and chain of a run folder: what is believed, and what is refused by name."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import date
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from signoff_samples import GREEN, PROJECT, VERSIONS, facts, failed_node, judge, node, waiver

from pytest_l402.signoff import SignOffDocument
from pytest_l402.signoff.approval import ApprovalError, approve
from pytest_l402.signoff.attested import approvals_finding, chain_finding, signature_finding, window_finding
from pytest_l402.signoff.chain import HEAD, find_previous, follow, note_last
from pytest_l402.signoff.document import Vouched, build_document
from pytest_l402.signoff.files import move_aside, remove_oldest, write_run
from pytest_l402.signoff.finding import Answer
from pytest_l402.signoff.results import RunFacts
from pytest_l402.signoff.signing import (
    SigningKey,
    UnusableKeyError,
    read_signing_key,
    read_verifying_key,
)
from pytest_l402.signoff.waivers import WaiverTarget
from pytest_l402.signoff.window import Currency, currency

FINISHED_MS = facts().finished_at_ms
DAY_MS = 86_400_000
MAKERS: dict[str, tuple[Callable[[], object], PrivateFormat]] = {
    "ed25519": (ed25519.Ed25519PrivateKey.generate, PrivateFormat.PKCS8),
    "p256": (lambda: ec.generate_private_key(ec.SECP256R1()), PrivateFormat.PKCS8),
    "p256-sec1": (lambda: ec.generate_private_key(ec.SECP256R1()), PrivateFormat.TraditionalOpenSSL),
    "openssh": (ed25519.Ed25519PrivateKey.generate, PrivateFormat.OpenSSH),
    "openssh-p256": (lambda: ec.generate_private_key(ec.SECP256R1()), PrivateFormat.OpenSSH),
}


def key_file(folder: Path, kind: str = "ed25519") -> Path:
    make, form = MAKERS[kind]
    path = folder / f"{kind}.key"
    path.write_bytes(make().private_bytes(Encoding.PEM, form, NoEncryption()))  # type: ignore[attr-defined]
    path.chmod(0o600)
    return path


def run_of(folder: Path, key: SigningKey | None = None, run: RunFacts | None = None) -> SignOffDocument:
    """A run folder that was signed off, with the runs beside it as its chain."""
    run = run or facts()
    place = folder / run.run_id
    previous = find_previous(folder, current=run.run_id) if folder.is_dir() else None
    vouched = Vouched(key_id=None if key is None else key.public.key_id, previous=previous)
    nodes = GREEN if run.exit_status == 0 else (failed_node("success"), node("reuse"))
    built = build_document(judge(nodes, run), project=PROJECT, versions=VERSIONS, vouched=vouched)
    write_run(place, built, None if key is None else key.sign_statements)
    note_last(folder, place)
    return built


@pytest.fixture
def key(tmp_path: Path) -> SigningKey:
    return read_signing_key(key_file(tmp_path))


class TestKeys:
    @pytest.mark.parametrize("kind", MAKERS)
    def test_each_kind_signs_and_is_verified_by_its_public_half(self, tmp_path: Path, kind: str) -> None:
        key = read_signing_key(key_file(tmp_path, kind))
        run_of(tmp_path / "runs", key)
        folder = tmp_path / "runs" / facts().run_id
        public = read_verifying_key(folder / "signer.pem")
        assert public.key_id == key.public.key_id
        assert signature_finding(folder, run_of(tmp_path / "again", key), public).answer is Answer.HOLDS

    def test_an_ed25519_key_leaves_the_same_bytes_twice(self, tmp_path: Path, key: SigningKey) -> None:
        for name in ("one", "two"):
            run_of(tmp_path / name, key)
        one, two = (tmp_path / name / facts().run_id for name in ("one", "two"))
        names = sorted(file.name for file in one.iterdir())
        assert "statement.dsse.json" in names
        assert [(one / name).read_bytes() for name in names] == [(two / name).read_bytes() for name in names]

    def test_the_public_half_may_be_a_line_of_openssh(self, tmp_path: Path, key: SigningKey) -> None:
        line = tmp_path / "key.pub"
        public = key.public._key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        line.write_bytes(public + b" ci@shop\n")
        assert read_verifying_key(line).key_id == key.public.key_id

    @pytest.mark.parametrize(
        ("spoil", "seen"),
        [
            (lambda path: path.chmod(0o640), "saw one that others can; chmod 600"),
            (lambda path: path.write_bytes(b"no key"), "expected an Ed25519 or P-256 key"),
            (lambda path: path.write_bytes(b"x" * 70_000), "more than 65536 bytes"),
            (lambda path: path.unlink(), "No such file"),
            (lambda path: (path.unlink(), path.mkdir()), "what is no file"),
            (lambda path: (path.unlink(), os.mkfifo(path)), "what is no file"),
        ],
        ids=["readable", "no-key", "huge", "missing", "folder", "pipe"],
    )
    def test_what_is_no_key_of_its_own_is_refused(
        self, tmp_path: Path, spoil: Callable[[Path], object], seen: str
    ) -> None:
        path = key_file(tmp_path)
        spoil(path)
        with pytest.raises(UnusableKeyError) as refused:
            read_signing_key(path)
        assert seen in str(refused.value)
        assert "\n" not in str(refused.value)

    @pytest.mark.parametrize("form", ["RFC4716", "PKCS8"])
    def test_a_key_under_a_passphrase_is_refused_and_none_is_asked_for(
        self, tmp_path: Path, form: str
    ) -> None:
        path = tmp_path / "key"
        made = ("-q", "-t", "ecdsa", "-b", "256", "-N", "secret", "-m", form)
        subprocess.run(["ssh-keygen", *made, "-f", str(path)], check=True)
        with pytest.raises(UnusableKeyError, match="under a passphrase"):
            read_signing_key(path)

    def test_another_kind_of_key_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "rsa.key"
        made = rsa.generate_private_key(65537, 2048)
        path.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        path.chmod(0o600)
        with pytest.raises(UnusableKeyError, match="saw one of RSA"):
            read_signing_key(path)

    def test_a_private_key_is_not_taken_for_a_public_one(self, tmp_path: Path) -> None:
        with pytest.raises(UnusableKeyError, match="expected a public key, saw a private one"):
            read_verifying_key(key_file(tmp_path))

    def test_it_is_shown_by_its_id_alone(self, key: SigningKey) -> None:
        assert repr(key) == f"SigningKey({key.public.key_id})"


class TestSignature:
    def test_an_unsigned_run_says_so_and_is_refused_to_who_wants_a_signature(
        self, tmp_path: Path, key: SigningKey
    ) -> None:
        document = run_of(tmp_path)
        folder = tmp_path / document.run.id
        assert signature_finding(folder, document, None).answer is Answer.ABSENT
        assert signature_finding(folder, document, key.public).answer is Answer.CONTRADICTED

    def test_a_key_that_lies_beside_shows_nothing_of_who_signed(
        self, tmp_path: Path, key: SigningKey
    ) -> None:
        document = run_of(tmp_path, key)
        found = signature_finding(tmp_path / document.run.id, document, None)
        assert found.answer is Answer.INCONCLUSIVE
        assert "--key" in found.sentences[0]

    def test_another_key_is_refused(self, tmp_path: Path, key: SigningKey) -> None:
        document = run_of(tmp_path, key)
        other = read_signing_key(key_file(tmp_path, "openssh")).public
        found = signature_finding(tmp_path / document.run.id, document, other)
        assert found.answer is Answer.CONTRADICTED

    @pytest.mark.parametrize(
        ("name", "spoil"),
        [
            ("statement.json", lambda data: data.replace(b"SIGNED_OFF", b"SIGNED_OF ")),
            ("statement.dsse.json", lambda data: data.replace(b"vnd.in-toto", b"vnd.other")),
            ("statement.dsse.json", lambda data: b"{}"),
            ("statement.dsse.json", lambda data: b"not json"),
            ("statement.dsse.json", lambda data: _without_signatures(data)),
            ("statement.dsse.json", lambda data: _with_signature(data, "AAAA")),
            ("statement.dsse.json", lambda data: _with_signature(data, "not base64!")),
            ("statement.sigstore.json", lambda data: b"{}"),
            ("signer.pem", lambda data: b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"),
        ],
        ids=["payload", "type", "empty", "no-json", "unsigned", "other", "no-base64", "bundle", "public-key"],
    )
    @pytest.mark.parametrize("given", ["with-key", "without"])
    def test_what_was_altered_is_found_with_and_without_a_key(
        self, tmp_path: Path, key: SigningKey, name: str, spoil: Callable[[bytes], bytes], given: str
    ) -> None:
        document = run_of(tmp_path, key)
        file = tmp_path / document.run.id / name
        before = file.read_bytes()
        file.write_bytes(spoil(before))
        assert file.read_bytes() != before
        trusted = key.public if given == "with-key" else None
        assert signature_finding(file.parent, document, trusted).answer is Answer.CONTRADICTED

    @pytest.mark.parametrize("name", ["statement.dsse.json", "statement.sigstore.json", "signer.pem"])
    def test_what_is_gone_is_missed(self, tmp_path: Path, key: SigningKey, name: str) -> None:
        document = run_of(tmp_path, key)
        (tmp_path / document.run.id / name).unlink()
        found = signature_finding(tmp_path / document.run.id, document, key.public)
        assert found.answer is Answer.CONTRADICTED


def _without_signatures(data: bytes) -> bytes:
    return json.dumps({**json.loads(data), "signatures": []}).encode()


def _with_signature(data: bytes, signature: str) -> bytes:
    envelope = json.loads(data)
    envelope["signatures"][0]["sig"] = signature
    return json.dumps(envelope).encode()


class TestWindow:
    def test_it_counts_until_its_last_millisecond(self) -> None:
        document = build_document(judge(), project=PROJECT, versions=VERSIONS, vouched=Vouched(valid_days=2))
        end = FINISHED_MS + 2 * DAY_MS
        assert document.window is not None
        assert (document.window.not_after_ms, document.window.ended_by) == (end, "its 2 days")
        assert currency(document, end) is Currency.CURRENT
        assert currency(document, end + 1) is Currency.STALE
        assert window_finding(document, end + 1).answer is Answer.CONTRADICTED

    def test_a_clock_before_the_run_tells_nothing_but_a_little_skew_does(self) -> None:
        document = build_document(judge(), project=PROJECT, versions=VERSIONS)
        assert currency(document, FINISHED_MS - 60_000) is Currency.CURRENT
        found = window_finding(document, FINISHED_MS - DAY_MS)
        assert found.answer is Answer.INCONCLUSIVE
        assert "one of two clocks is wrong" in found.sentences[0]

    def test_it_ends_with_the_first_waiver_that_it_stands_on(self) -> None:
        nodes = (node("success"), failed_node("reuse"))
        used = waiver(WaiverTarget.REHEARSAL, "reuse", date(2026, 11, 23))
        unused = waiver(WaiverTarget.REHEARSAL, "extra", date(2026, 11, 22))
        document = build_document(judge(nodes, facts(nodes), (used, unused)), project=PROJECT)
        assert document.window is not None
        assert document.window.ended_by == "the waiver of rehearsal reuse"
        assert currency(document, document.window.not_after_ms + 1) is Currency.STALE
        assert document.window.not_after_ms < FINISHED_MS + 3 * DAY_MS

    def test_a_sign_off_of_version_2_has_no_end(self) -> None:
        document = build_document(judge(), project=PROJECT)
        plain = json.loads(document.model_dump_json()) | {"schema_version": "2", "window": None}
        old = SignOffDocument.model_validate_json(json.dumps(plain))
        assert window_finding(old, FINISHED_MS).answer is Answer.INCONCLUSIVE
        with pytest.raises(ValueError, match="SIGNED_OFF without an end"):
            SignOffDocument.model_validate_json(json.dumps(plain | {"schema_version": "3"}))


def nth(number: int, exit_status: int = 0) -> RunFacts:
    """The facts of a run that began so many hours later."""
    later = number * 3_600_000
    return facts(
        run_id=f"20261121T{12 + number}0000Z-0123abcd",
        started_at_ms=facts().started_at_ms + later,
        finished_at_ms=FINISHED_MS + later,
        exit_status=exit_status,
    )


class TestChain:
    def test_every_run_names_the_one_before_red_ones_too(self, tmp_path: Path) -> None:
        first, second, third = (run_of(tmp_path, run=nth(number, number % 2)) for number in range(3))
        assert first.previous is None
        assert second.previous is not None
        assert third.previous is not None
        assert (second.previous.run_id, second.previous.found) == (first.run.id, "kept")
        assert third.previous.verdict == "NOT_SIGNED_OFF"
        assert follow(tmp_path / third.run.id, third).runs == 2
        assert chain_finding(tmp_path / third.run.id, third).answer is Answer.HOLDS

    def test_a_run_that_was_removed_by_hand_is_a_gap(self, tmp_path: Path) -> None:
        first, second = run_of(tmp_path, run=nth(0)), run_of(tmp_path, run=nth(1, 1))
        shutil.rmtree(tmp_path / second.run.id)
        third = run_of(tmp_path, run=nth(2))
        assert third.previous is not None
        assert (third.previous.run_id, third.previous.found) == (second.run.id, "gone")
        found = chain_finding(tmp_path / third.run.id, third)
        assert found.answer is Answer.CONTRADICTED
        assert found.sentences == (
            f"run {third.run.id} names run {second.run.id} (NOT_SIGNED_OFF) as the one before: it is gone",
        )
        assert first.run.id not in found.sentences[0]

    def test_what_the_limit_removes_is_no_gap(self, tmp_path: Path) -> None:
        for number in range(4):
            run_of(tmp_path, run=nth(number, 1))
            move_aside(tmp_path, keep=nth(number).run_id)
        last = run_of(tmp_path, run=nth(4))
        move_aside(tmp_path, keep=last.run.id)
        removed = remove_oldest(tmp_path, keep=1)
        assert len(removed) == 3
        assert chain_finding(tmp_path / last.run.id, last).answer is Answer.HOLDS
        shutil.rmtree(tmp_path / "previous" / nth(3).run_id)
        assert chain_finding(tmp_path / last.run.id, last).answer is Answer.CONTRADICTED

    def test_a_run_that_was_written_anew_is_known_by_the_next_one(self, tmp_path: Path) -> None:
        first = run_of(tmp_path, run=nth(0, 1))
        second = run_of(tmp_path, run=nth(1))
        manifest = tmp_path / first.run.id / "SHA256SUMS"
        manifest.write_bytes(manifest.read_bytes() + b"\n")
        (gap,) = chain_finding(tmp_path / second.run.id, second).sentences
        assert gap.endswith("it is changed")
        (gap,) = chain_finding(tmp_path / first.run.id, first).sentences
        assert gap == f"run {second.run.id} names another SHA256SUMS of run {first.run.id} than the one here"

    def test_a_folder_that_was_handed_over_alone_cannot_be_followed(self, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        run_of(runs, run=nth(0))
        second = run_of(runs, run=nth(1))
        alone = tmp_path / "alone" / second.run.id
        shutil.copytree(runs / second.run.id, alone)
        found = chain_finding(alone, second)
        assert found.answer is Answer.ABSENT
        assert nth(0).run_id in found.sentences[0]

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '{"run_id": 1}', "\xff"])
    def test_a_memory_that_is_broken_leaves_the_folders(self, tmp_path: Path, text: str) -> None:
        first = run_of(tmp_path, run=nth(0))
        (tmp_path / HEAD).write_text(text)
        (tmp_path / "removed.jsonl").write_text(text)
        second = run_of(tmp_path, run=nth(1))
        assert second.previous is not None
        assert second.previous.run_id == first.run.id

    def test_what_is_written_twice_names_the_same_run_before(self, tmp_path: Path) -> None:
        run_of(tmp_path, run=nth(0))
        once, again = run_of(tmp_path, run=nth(1)), run_of(tmp_path, run=nth(1))
        assert once == again


@pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="ssh-keygen is not installed")
class TestApproval:
    NOW_MS = FINISHED_MS + DAY_MS

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        return tmp_path / "runs" / run_of(tmp_path / "runs").run.id

    @pytest.fixture
    def ada(self, tmp_path: Path) -> Path:
        path = tmp_path / "ada"
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ada", "-f", str(path)], check=True
        )
        return path

    def roster(self, key: Path, options: str = 'namespaces="l402-signoff"', name: str = "ada@shop") -> Path:
        path = key.with_name("roster")
        path.write_text(f"{name} {options} {key.with_name(f'{key.name}.pub').read_text()}")
        return path

    def test_who_approves_is_named_by_the_roster(self, folder: Path, ada: Path) -> None:
        roster = self.roster(ada)
        file = approve(folder, key=ada, identity="ada@shop", roster=roster, now_ms=self.NOW_MS)
        assert file == folder / "approvals" / "ada@shop.sig"
        found = approvals_finding(folder, roster, self.NOW_MS)
        assert (found.answer, found.sentences) == (Answer.HOLDS, ("approved by ada@shop",))
        assert approvals_finding(folder, None, self.NOW_MS).answer is Answer.INCONCLUSIVE

    @pytest.mark.parametrize(
        ("options", "name", "said"),
        [
            ('namespaces="git"', "ada@shop", "expected what ada@shop signed as l402-signoff"),
            ('valid-before="20261101"', "ada@shop", "a signature by a key that counts then"),
            ("", "bob@shop", "expected a key of ada@shop by roster, saw one of bob@shop"),
        ],
        ids=["namespace", "expired", "another-name"],
    )
    def test_a_roster_that_does_not_name_the_signer_leaves_no_approval(
        self, folder: Path, ada: Path, options: str, name: str, said: str
    ) -> None:
        roster = self.roster(ada, options, name)
        with pytest.raises(ApprovalError, match=said):
            approve(folder, key=ada, identity="ada@shop", roster=roster, now_ms=self.NOW_MS)
        assert [*(folder / "approvals").iterdir()] == []

    def test_a_roster_without_the_signer_refuses(self, folder: Path, ada: Path) -> None:
        approve(folder, key=ada, identity="ada@shop", roster=None, now_ms=self.NOW_MS)
        other = ada.with_name("bob")
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
        found = approvals_finding(folder, self.roster(other, name="bob@shop"), self.NOW_MS)
        assert found.answer is Answer.CONTRADICTED

    def test_a_statement_that_was_altered_is_approved_by_nobody(self, folder: Path, ada: Path) -> None:
        roster = self.roster(ada)
        approve(folder, key=ada, identity="ada@shop", roster=roster, now_ms=self.NOW_MS)
        statement = folder / "statement.json"
        statement.write_bytes(statement.read_bytes().replace(b"mock", b"live"))
        assert approvals_finding(folder, roster, self.NOW_MS).answer is Answer.CONTRADICTED

    def test_who_has_a_roster_asks_for_an_approval(self, folder: Path, ada: Path) -> None:
        assert approvals_finding(folder, None, self.NOW_MS).answer is Answer.ABSENT
        assert approvals_finding(folder, self.roster(ada), self.NOW_MS).answer is Answer.CONTRADICTED

    @pytest.mark.parametrize("data", [b"", b"not a signature", b"x" * 70_000])
    def test_what_is_no_signature_is_refused(self, folder: Path, ada: Path, data: bytes) -> None:
        (folder / "approvals").mkdir()
        (folder / "approvals" / "ada.sig").write_bytes(data)
        assert approvals_finding(folder, self.roster(ada), self.NOW_MS).answer is Answer.CONTRADICTED

    def test_a_key_under_a_passphrase_is_refused_where_nobody_can_be_asked(
        self, folder: Path, ada: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
        subprocess.run(["ssh-keygen", "-q", "-p", "-P", "", "-N", "secret", "-f", str(ada)], check=True)
        with pytest.raises(ApprovalError, match="needs a terminal or an agent"):
            approve(folder, key=ada, identity="ada@shop", roster=None, now_ms=self.NOW_MS)
        assert not (folder / "approvals").exists()

    def test_a_key_that_others_can_read_is_refused(self, folder: Path, ada: Path) -> None:
        ada.chmod(0o644)
        with pytest.raises(ApprovalError, match="chmod 600"):
            approve(folder, key=ada, identity="ada@shop", roster=None, now_ms=self.NOW_MS)

    def test_nobody_approves_twice(self, folder: Path, ada: Path) -> None:
        for expected in (None, "saw one; remove it"):
            if expected is None:
                approve(folder, key=ada, identity="ada@shop", roster=None, now_ms=self.NOW_MS)
                continue
            with pytest.raises(ApprovalError, match=expected):
                approve(folder, key=ada, identity="ada@shop", roster=None, now_ms=self.NOW_MS)

    def test_a_name_does_not_leave_the_folder(self, folder: Path, ada: Path) -> None:
        file = approve(folder, key=ada, identity="../../ada", roster=None, now_ms=self.NOW_MS)
        assert file.parent == folder / "approvals"
