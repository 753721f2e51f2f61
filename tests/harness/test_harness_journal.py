"""Rows are appended, copied, and found by request id."""

import threading

from stack_shop import Shop

from pytest_l402.contract import REQUIRED_KEYS
from pytest_l402.harness.clock import StackClock
from pytest_l402.harness.journal import Journal


def test_rows_come_back_in_order_and_as_copies():
    journal = Journal(StackClock())
    row = {"n": 1}
    journal.append("things", row)
    row["n"] = 99
    journal.append("things", {"n": 2})
    journal.rows("things")[0]["n"] = 77
    assert journal.rows("things") == ({"n": 1}, {"n": 2})
    assert journal.table_names() == ("things",)
    assert journal.rows("unknown") == ()


def test_a_log_line_is_found_by_the_request_id():
    journal = Journal(StackClock(5))
    journal.log("gateway", "req-1", "did something")
    assert journal.rows("logs") == (
        {"line": "plane=gateway oa_req=req-1 did something", "plane": "gateway", "atMs": 5},
    )


def test_a_record_becomes_a_row_of_all_keys_in_canonical_order():
    shop = Shop()
    shop.ask("/premium")
    (row,) = shop.records()
    assert tuple(row) == tuple(REQUIRED_KEYS)


def test_rows_of_several_threads_are_all_kept():
    journal = Journal(StackClock())
    threads = [
        threading.Thread(target=lambda: [journal.append("t", {"n": n}) for n in range(200)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(journal.rows("t")) == 800
