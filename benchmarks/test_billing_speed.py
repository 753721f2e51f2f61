"""How fast the log of a billing service is replayed, crashed and appended to; how soon an instance is there.

Run with ``pytest benchmarks/test_billing_speed.py -s``. Best of several, each against something that the same
machine did in the same minute.
"""

import os
import subprocess
import sys
import time
import zlib

from pytest_l402.billing import Billing, SimulatedDisk, lost_in
from pytest_l402.billing.log.crash_states import Replays
from pytest_l402.billing.log.frames import frame
from pytest_l402.billing.log.reader import records_of
from pytest_l402.billing.log.store import Folder, segment_name
from pytest_l402.billing.log.writer import LogWriter

RECORDS = 1_000_000
REPLAY = """
import sys
from pathlib import Path
from pytest_l402.billing.log.reader import records_of
from pytest_l402.billing.log.store import Folder
held = []
for number, _ in enumerate(records_of(Folder(Path(sys.argv[1])))):
    if number % 100_000 == 0:
        status = Path("/proc/self/status").read_text()
        held.append(int(status.partition("VmRSS:")[2].split()[0]))
print(max(held))
"""


def best(act, rounds=5):
    taken = []
    for _ in range(rounds):
        begun = time.process_time()
        act()
        taken.append(time.process_time() - begun)
    return min(taken)


def test_replay(tmp_path):
    LogWriter(Folder(tmp_path), "a").close()
    segment = tmp_path / segment_name(1)
    with segment.open("ab") as file:
        for number in range(1, RECORDS + 1):
            file.write(frame(number, 1, b"x" * 147))

    def reads_and_checks():
        with segment.open("rb", buffering=0) as file:
            while data := file.read(1 << 17):
                zlib.crc32(data)

    def replays():
        for _ in records_of(Folder(tmp_path)):
            pass

    alone, whole = best(reads_and_checks), best(replays)
    told = subprocess.run(
        [sys.executable, "-c", REPLAY, str(tmp_path)], capture_output=True, text=True, check=True
    ).stdout
    print(f"\nreplay of {RECORDS:,} records: {whole:.2f} s, {whole / alone:.1f} times reading and CRCs")
    print(f"memory of a process that replays it: {int(told) / 1024:.0f} MiB, budget 64")


def test_crash_states():
    disk = SimulatedDisk()
    with LogWriter(disk, "a") as writer:
        for number in range(26):
            body = f"record {number} with what a record has".encode()
            writer.append(body)
            disk.acknowledge(body)
    found = []

    def judges():
        replays = Replays()
        found[:] = [lost_in(state, replays) for state in disk.states()]

    taken = best(judges)
    assert set(found) == {None}
    print(f"\n{len(found):,} crash states: {taken:.2f} s, {taken / len(found) * 10_000:.2f} s for 10,000")


def test_append(tmp_path):
    descriptor = os.open(tmp_path / "alone", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    rounds = 200
    data = frame(1, 1, b"x" * 147)
    begun = time.perf_counter()
    for _ in range(rounds):
        os.write(descriptor, data)
        os.fdatasync(descriptor)
    alone = time.perf_counter() - begun
    os.close(descriptor)
    with LogWriter(Folder(tmp_path), "a") as writer:
        begun = time.perf_counter()
        for _ in range(rounds):
            writer.append(b"x" * 147)
        appended = time.perf_counter() - begun
    print(f"\nappend: {appended / alone:.2f} times write and fdatasync alone")


def test_instances(l402_billing_zygote):
    with Billing(zygote=l402_billing_zygote) as billing:
        taken = []
        for _ in range(10):
            begun = time.perf_counter()
            service = billing.start()
            taken.append(time.perf_counter() - begun)
            billing.kill(service)
    print(f"\nan instance until it is ready: {min(taken):.3f} s best")
