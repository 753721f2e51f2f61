"""The log keeps each record that was acknowledged, whatever happens to its writer and to its disk."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pytest_l402.billing.faults import BillingFault
from pytest_l402.billing.log.crash_states import Killed, Replays, SimulatedDisk, lost_in
from pytest_l402.billing.log.frames import MAGIC, frame
from pytest_l402.billing.log.law import broken_laws
from pytest_l402.billing.log.reader import LogDamaged, chain_of, records_of
from pytest_l402.billing.log.schedules import crashes, over_a_frozen_holder, over_a_live_holder
from pytest_l402.billing.log.soak import soak
from pytest_l402.billing.log.store import Folder, Images, segment_name
from pytest_l402.billing.log.writer import Fenced, LogFull, LogStopped, LogWriter
from pytest_l402.harness.deadline import Deadline


def bodies(count: int, mark: str = "r") -> list[bytes]:
    return [f"{mark}-{number}".encode() for number in range(count)]


def written(disk: SimulatedDisk, count: int = 20, *faults: BillingFault) -> list[bytes]:
    writer, told = LogWriter(disk, "a", faults), bodies(count)
    for body in told:
        writer.append(body)
        disk.acknowledge(body)
    return told


def images_of(folder: Path) -> dict[int, bytes]:
    return {epoch: (folder / segment_name(epoch)).read_bytes() for epoch in Folder(folder).epochs()}


def replayed(store: Folder | Images) -> list[bytes]:
    return [body for _, _, body, _ in records_of(store)]


def test_every_epoch_goes_on_where_the_one_before_ended(tmp_path: Path) -> None:
    told = []
    for turn in range(3):
        with LogWriter(Folder(tmp_path), f"w{turn}") as writer:
            for body in bodies(3, f"e{turn}"):
                writer.append(body)
                told.append(body)
    assert broken_laws(Folder(tmp_path), told) == []
    assert replayed(Folder(tmp_path)) == told
    chain = chain_of(Folder(tmp_path))
    assert [(segment.epoch, segment.writer) for segment in chain.segments] == [
        (1, "w0"),
        (2, "w1"),
        (3, "w2"),
    ]
    sequences = [record[0] for record in records_of(Folder(tmp_path))]
    assert sequences == [1, 2, 3, 5, 6, 7, 9, 10, 11]


def test_a_writer_that_was_overtaken_is_refused_and_what_it_wrote_does_not_count(tmp_path: Path) -> None:
    old = LogWriter(Folder(tmp_path), "old")
    old.append(b"kept")
    new = LogWriter(Folder(tmp_path), "new")
    with pytest.raises(Fenced, match=r"old is no writer any more, stop it"):
        old.append(b"stale")
    with pytest.raises(LogStopped):
        old.append(b"again")
    new.append(b"after")
    assert replayed(Folder(tmp_path)) == [b"kept", b"after"]


def test_a_writer_that_measures_first_loses_what_a_live_holder_acknowledged_meanwhile(tmp_path: Path) -> None:
    lost = {}
    for fault in ((), (BillingFault.MEASURES_BEFORE_IT_CREATES,)):
        disk = SimulatedDisk()
        live = LogWriter(disk, "live")
        told = [b"one"]
        live.append(b"one")
        create = disk.create

        def acknowledged_before_it_is_there(epoch: int, create=create, live=live, told=told) -> int:
            live.append(b"two")
            told.append(b"two")
            return create(epoch)

        disk.create = acknowledged_before_it_is_there  # type: ignore[method-assign]
        LogWriter(disk, "next", fault)
        lost[fault] = broken_laws(disk.image(), told)
    assert [*lost.values()] == [[], ["acknowledged and not in the log: b'two'"]]


def test_every_byte_cut_replays_to_a_prefix_and_the_next_append_survives_a_further_replay() -> None:
    disk = SimulatedDisk()
    told = written(disk, 2)
    whole = bytes(disk.image().open(1).read())
    for cut in range(len(whole) + 1):
        for fill in (b"", b"\0" * 40, b"\x07garbage" * 5):
            again = SimulatedDisk()
            again._now, again._synced = {1: bytearray(whole[:cut] + fill)}, {1: cut}
            before = replayed(again.image())
            assert before == told[: len(before)]
            LogWriter(again, "next").append(b"appended")
            LogWriter(again, "third").append(b"later")
            assert replayed(again.image()) == [*before, b"appended", b"later"]


def test_no_crash_loses_what_was_acknowledged() -> None:
    disk = SimulatedDisk()
    written(disk)
    states = list(disk.states())
    assert len(states) > 1000
    assert [lost for state in states if (lost := lost_in(state))] == []
    # What is read once for many states is what the reader reads of each.
    replays = Replays()
    for state in states[::7]:
        assert replays.bodies(state.images) == replayed(Images(state.images))


@pytest.mark.parametrize(
    ("fault", "fails"), [(BillingFault.NO_FDATASYNC, None), (BillingFault.FSYNC_RESULT_IGNORED, 5)]
)
def test_a_writer_without_a_sync_that_counts_is_found(fault: BillingFault, fails: int | None) -> None:
    disk = SimulatedDisk(sync_fails=lambda number: number == fails)
    written(disk, 10, fault)
    assert any(lost_in(state) for state in disk.states())


def test_a_sync_that_fails_stops_the_writer_and_a_retry_doubles_nothing() -> None:
    disk = SimulatedDisk(sync_fails=lambda number: number == 2)
    writer = LogWriter(disk, "a")
    writer.append(b"one")
    with pytest.raises(LogStopped, match="fdatasync to succeed"):
        writer.append(b"two")
    with pytest.raises(LogStopped):
        writer.append(b"two")
    assert replayed(disk.image()).count(b"two") <= 1


def test_a_full_disk_takes_back_half_a_record_and_goes_on_when_there_is_room() -> None:
    disk = SimulatedDisk()
    writer = LogWriter(disk, "a")
    writer.append(b"one")
    disk.room = len(disk.image().open(1).read()) + 9
    with pytest.raises(LogFull, match="9 of 23 bytes written"):
        writer.append(b"two")
    disk.room = 1 << 20
    writer.append(b"two")
    assert replayed(disk.image()) == [b"one", b"two"]


def test_two_torn_frames_are_a_torn_tail(tmp_path: Path) -> None:
    with LogWriter(Folder(tmp_path), "a") as writer:
        writer.append(b"one")
    torn = frame(2, 1, b"two")[:-1]
    with (tmp_path / segment_name(1)).open("ab") as file:
        file.write(torn + torn)
    LogWriter(Folder(tmp_path), "b").append(b"next")
    assert replayed(Folder(tmp_path)) == [b"one", b"next"]


@pytest.mark.parametrize("where", ["in the newest", "in an older"])
def test_a_flipped_bit_in_the_middle_is_named_and_no_segment_is_made(tmp_path: Path, where: str) -> None:
    with LogWriter(Folder(tmp_path), "a") as writer:
        for body in bodies(5):
            writer.append(body)
    if where == "in an older":
        LogWriter(Folder(tmp_path), "b").append(b"next")
    path = tmp_path / segment_name(1)
    data = bytearray(path.read_bytes())
    data[data.index(b"r-2")] ^= 1
    path.write_bytes(data)
    before = sorted(tmp_path.iterdir())
    with pytest.raises(LogDamaged, match=r"RF8.*00000001\.log at byte \d+; start no writer"):
        LogWriter(Folder(tmp_path), "c")
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("data", "seen"),
    [
        (b"PNG or anything else" * 300, "another kind of file"),
        (MAGIC[:-2] + bytes([9, 246]) + b"rest", "version 9"),
        (MAGIC + frame(0, 1, b"not json"), "another record"),
        (MAGIC + frame(0, 4, b'{"writer": "a", "prev": 0, "prev_end": 0}'), "another record"),
    ],
)
def test_what_is_no_log_is_refused(tmp_path: Path, data: bytes, seen: str) -> None:
    (tmp_path / segment_name(1)).write_bytes(data)
    with pytest.raises(LogDamaged, match=seen):
        LogWriter(Folder(tmp_path), "a")


@pytest.mark.parametrize(
    "data", [b"", MAGIC[:3], MAGIC, MAGIC + frame(3, 2, b'{"writ')[:-2], b"\0" * 9999, b"torn" * 20]
)
def test_a_writer_that_died_before_its_header_is_passed_over(tmp_path: Path, data: bytes) -> None:
    with LogWriter(Folder(tmp_path), "a") as writer:
        writer.append(b"one")
    (tmp_path / segment_name(2)).write_bytes(data)
    LogWriter(Folder(tmp_path), "c").append(b"two")
    assert replayed(Folder(tmp_path)) == [b"one", b"two"]
    assert chain_of(Folder(tmp_path)).passed_over == (2,)


def test_a_sequence_that_starts_over_is_damage(tmp_path: Path) -> None:
    for faults in ((), (BillingFault.SEQUENCE_STARTS_OVER,)):
        with LogWriter(Folder(tmp_path), "a", faults) as writer:
            writer.append(b"one")
    with pytest.raises(LogDamaged, match="expected record 2"):
        LogWriter(Folder(tmp_path), "b")


def test_the_law_names_what_is_lost_and_what_is_there_twice() -> None:
    disk = SimulatedDisk()
    writer = LogWriter(disk, "a")
    for body in (b"x", b"x"):
        writer.append(body)
    assert broken_laws(disk.image(), [b"y", b"x"]) == [
        "acknowledged and not in the log: b'y'",
        "in the log 2 times: b'x'",
    ]


def test_a_long_tail_of_garbage_is_read_in_bounded_pieces() -> None:
    disk = SimulatedDisk()
    told = written(disk, 3)
    whole = disk.image().open(1).read()
    tail = bytes(itertools.islice(itertools.cycle(range(5, 250, 3)), 1 << 20))
    assert replayed(Images({1: whole + tail})) == told
    with pytest.raises(LogDamaged, match="bytes after it"):
        replayed(Images({1: whole + tail + frame(4, 1, b"late") + tail}))


@pytest.mark.parametrize("killed_at", range(1, 8))
def test_what_the_next_writer_vouches_for_outlives_a_crash(killed_at: int) -> None:
    disk = SimulatedDisk(killed_at_sync=killed_at)
    with pytest.raises(Killed):
        written(disk, 10)
    LogWriter(disk, "next").append(b"later")
    disk.acknowledge(b"later")
    assert [lost for state in disk.states() if (lost := lost_in(state))] == []


def found(faults: tuple[BillingFault, ...]) -> tuple[bool, bool, bool]:
    live, frozen = over_a_live_holder(faults), over_a_frozen_holder(faults)
    return live["broken"] == 0, frozen["broken"] == 0, crashes(faults)["lost"] == 0


@pytest.mark.parametrize(
    ("faults", "holds"),
    [
        ((), (True, True, True)),
        ((BillingFault.NO_FDATASYNC,), (True, True, False)),
        ((BillingFault.FSYNC_RESULT_IGNORED,), (True, True, False)),
        # It survives a frozen holder, and dies with a live one: so there are two schedules.
        ((BillingFault.MEASURES_BEFORE_IT_CREATES,), (False, True, True)),
        ((BillingFault.DOES_NOT_LOOK,), (False, False, True)),
        ((BillingFault.SEQUENCE_STARTS_OVER,), (False, False, False)),
    ],
    ids=str,
)
def test_each_fault_of_durability_is_found_by_its_schedule(
    faults: tuple[BillingFault, ...], holds: tuple[bool, bool, bool]
) -> None:
    assert found(faults) == holds


def test_a_real_file_that_takes_half_a_record_is_cut_back(tmp_path: Path) -> None:
    program = f"""
        import pathlib, resource, signal
        from pytest_l402.billing.log.store import Folder
        from pytest_l402.billing.log.writer import LogFull, LogWriter
        writer = LogWriter(Folder(pathlib.Path({str(tmp_path)!r})), "a")
        writer.append(b"one")
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (writer._size + 9, hard))
        try:
            writer.append(b"two")
        except LogFull as full:
            print(full)
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        writer.append(b"two")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "9 of 23 bytes written" in done.stdout
    assert replayed(Folder(tmp_path)) == [b"one", b"two"]


def test_writers_that_are_overtaken_and_killed_keep_what_they_promised() -> None:
    for kind, refused in (("takeovers", 4), ("kills", 0)):
        found = soak(kind, 4)
        assert (found["broken"], found["refused"]) == (0, refused), found["first"]


def test_a_soak_that_is_killed_leaves_no_writer_and_no_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pytest_l402.billing.log.soak", "takeovers", "1000"]
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as run:
        deadline = Deadline(30.0)
        while not [*tmp_path.rglob("*.log")]:
            assert not deadline.over, "no segment after 30 s"
        run.kill()
    deadline = Deadline(30.0)
    while left := [*tmp_path.iterdir()]:
        assert not deadline.over, f"still there 30 s after the soak was killed: {left}"
    assert not [path for path in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path).encode() in of(path)]


def of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
