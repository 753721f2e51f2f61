import pytest

from pytest_l402.evidence import some_row, steady_state_restored

pytestmark = pytest.mark.rehearsal("seat-twice", runbook="sale", section="1")


def test_two_guests(theatre, l402_evidence):
    theatre.book("A1", "ann")
    theatre.book("A1", "bob")
    l402_evidence.verify(
        some_row("answers", guest="bob", status=409).proves("1.refused"),
        some_row("bookings", seat="A1", guest="ann").proves("1.kept"),
        steady_state_restored().proves("2.healthy"),
    )
