"""What Go's linker wrote into a program, and that no other bytes are taken for it."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.stack.aperture.build_info import BuildInfo, build_info

MARK = b"0w\xaf\x0c\x92t\x08\x02A\xe1\xc1\x07\xe6\xd6\x18\xe6"
MODULE = (
    "path\tgithub.com/lightninglabs/aperture/cmd/aperture\n"
    "mod\tgithub.com/lightninglabs/aperture\tv0.5.0\th1:x\ndep\texample.com/other\tv1.2.3\n"
)


def text(data: bytes) -> bytes:
    length, out = len(data), b""
    while length >= 0x80:
        out, length = out + bytes([length & 0x7F | 0x80]), length >> 7
    return out + bytes([length]) + data


def linked(go: str, module: str, *, flags: int = 2, before: bytes = b"\x7fELF" + bytes(60)) -> bytes:
    header = b"\xff Go buildinf:" + bytes([8, flags])
    return before + header.ljust(32, b"\0") + text(go.encode()) + text(MARK + module.encode() + MARK)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    return tmp_path / "program"


def test_module_version_and_go_are_read(program: Path) -> None:
    program.write_bytes(linked("go1.26.8", MODULE) + bytes(1000))
    assert build_info(program) == BuildInfo("go1.26.8", "github.com/lightninglabs/aperture", "v0.5.0")


def test_a_mark_that_is_not_where_the_linker_puts_it_is_passed_over(program: Path) -> None:
    program.write_bytes(b"1" + linked("go1.26.8", MODULE, before=b""))
    assert build_info(program) is None
    program.write_bytes(linked("go1.26.8", MODULE, before=b"1\xff Go buildinf:".ljust(64, b"0")))
    assert str(build_info(program)) == "github.com/lightninglabs/aperture v0.5.0, built by go1.26.8"


def test_a_program_without_a_module_is_told_by_its_path(program: Path) -> None:
    program.write_bytes(linked("go1.26.8", "path\tcmd/go\n"))
    assert str(build_info(program)) == "cmd/go, built by go1.26.8"


def test_what_has_none_of_it_says_nothing(program: Path) -> None:
    program.write_bytes(b"")
    assert build_info(program) is None
    program.write_text("#!/bin/sh\n")
    assert build_info(program) is None
    # Before Go 1.18 two addresses stood there.
    program.write_bytes(linked("go1.17", MODULE, flags=0))
    assert build_info(program) is None


@given(cut=st.integers(0, 400), noise=st.binary(max_size=60), at=st.integers(0, 400))
def test_no_bytes_bring_it_down(cut: int, noise: bytes, at: int) -> None:
    data = linked("go1.26.8", MODULE)
    data = (data[:at] + noise + data[at + len(noise) :])[:cut]
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).write_bytes(data)
        found = build_info(Path(file.name))
    assert found is None or isinstance(str(found), str)
