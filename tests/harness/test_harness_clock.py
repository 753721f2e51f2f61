"""The clock stands still, moves forward only, and freezes the process with it."""

import datetime
import subprocess
import sys
import time

import pytest

from pytest_l402.harness.clock import StackClock, SystemClock


def test_time_stands_still_until_it_is_moved():
    clock = StackClock(1_000_500)
    assert (clock.now_ms(), clock.now_ms(), clock.now_s()) == (1_000_500, 1_000_500, 1_000)
    assert clock.tick() == 1_000_501
    assert clock.advance(1_000) == 1_001_501
    assert clock.now_ms() == 1_001_501
    assert repr(clock) == "StackClock(now_ms=1001501)"


@pytest.mark.parametrize("clock", [StackClock(), SystemClock()])
def test_no_clock_runs_backwards(clock):
    with pytest.raises(ValueError, match="only moves forward"):
        clock.advance(-1)


def test_a_start_before_the_epoch_is_refused():
    with pytest.raises(ValueError, match="start_ms"):
        StackClock(-1)


def test_the_process_freezes_at_the_clock_and_follows_it():
    clock = StackClock(1_735_000_000_250)
    real = time.time()
    with clock.frozen():
        assert time.time() == 1_735_000_000.25
        clock.advance(90_000)
        assert time.time() == 1_735_000_090.25
        assert datetime.datetime.now(tz=datetime.UTC).timestamp() == 1_735_000_090.25
    assert time.time() >= real
    clock.advance(1)
    assert time.time() < 1_735_000_000 + 10**9


def test_time_thaws_when_the_block_fails():
    clock = StackClock()
    with pytest.raises(RuntimeError, match="inside"), clock.frozen():
        raise RuntimeError("inside")
    assert abs(time.time() - clock.now_s()) > 1


def test_models_with_dates_still_work_after_a_freeze_in_a_fresh_process():
    program = (
        "from pytest_l402.harness.clock import StackClock\n"
        "with StackClock().frozen(): pass\n"
        "import datetime, pydantic\n"
        "class M(pydantic.BaseModel):\n    at: datetime.datetime\n"
        "print(M(at='2026-01-01T00:00:00Z').at.year)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "2026\n"


def test_freezegun_is_not_imported_before_time_is_frozen():
    program = "import sys, pytest_l402.harness.clock; print('freezegun' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_system_clock_tells_the_machines_time():
    clock = SystemClock()
    before = time.time_ns() // 1_000_000
    assert before <= clock.now_ms() <= clock.tick() <= clock.advance(0)
    assert abs(clock.now_s() - before // 1000) <= 1
