import threading

import httpx
import pytest
from seats import VERSION, Box, server_for

from pytest_l402.evidence import Check, Finding, parts_of
from pytest_l402.evidence.mutants import remove_rows, set_value


class Theatre:
    name = "theatre"
    version = VERSION
    digest = None  # "sha256:…" of its image, or "git:…" of its commit, if one is known

    def __init__(self, box, url):
        self.box = box
        self.client = httpx.Client(base_url=url, trust_env=False)
        self.answers = []

    def book(self, seat, guest):
        status = self.client.put(f"/seats/{seat}/{guest}").status_code
        self.answers.append({"seat": seat, "guest": guest, "status": status})

    def parts(self):
        return parts_of("box office", self.box)

    def tables(self):
        return {"bookings": self.box.rows(), "answers": self.answers}

    def fields(self):
        booking = {"seat": str, "guest": str}
        return {"bookings": booking, "answers": {**booking, "status": int}}

    def steady_state(self, when):
        status = self.client.get("/health").status_code
        return [{"when": when, "probe": "health", "ok": status == 200, "detail": str(status)}]

    def standing_checks(self):
        return [kept_what_was_sold()]


def kept_what_was_sold():
    """Every seat that was sold is in the books, for the guest that bought it."""

    def judge(evidence):
        booked = {(row["seat"], row["guest"]) for row in evidence.table("bookings")}
        for number, row in enumerate(evidence.table("answers"), start=1):
            if row["status"] == 201 and (row["seat"], row["guest"]) not in booked:
                yield Finding(
                    expected=f"seat {row['seat']} booked for {row['guest']}",
                    seen="another guest, or nobody",
                    where=f"answers.jsonl line {number}",
                    remedy="stop the sale, and ask both guests",
                )

    mutants = (set_value("bookings", "guest", "mallory"), remove_rows("bookings"))
    return Check("kept_what_was_sold()", judge, mutants, ("answers", "bookings"))


@pytest.fixture
def theatre(tmp_path, l402_evidence):
    box = Box(tmp_path / "books.sqlite3")
    with server_for(box) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        system = Theatre(box, f"http://127.0.0.1:{server.server_port}")
        l402_evidence.attach(system)
        yield system
        system.client.close()
        server.shutdown()
        thread.join()
    box.db.close()
