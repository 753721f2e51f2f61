"""The environment variables of runbooks 2 and 3: which are read, their defaults, what is refused."""

from pathlib import Path

import pytest

from pytest_l402.live import (
    ControlPlaneForm,
    EnvironmentVariableError,
    control_plane_access,
    gateway_access,
    open_live_system,
)

P = "OA_LIGHTNING_OPS_"
SECRET = "a-secret-that-nobody-may-see"
CONTROL = {f"{P}KHALA_URL": "https://plane.example", f"{P}SECRET": SECRET}
TOP = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("KHALA_URL", ControlPlaneForm.CONVEX),
        ("CONVEX_URL", ControlPlaneForm.CONVEX),
        ("API_BASE_URL", ControlPlaneForm.API),
    ],
)
def test_the_three_names_of_the_control_plane(name: str, form: ControlPlaneForm) -> None:
    access = control_plane_access({P + name: " https://plane.example/base/ ", f"{P}SECRET": f" {SECRET}\n"})
    assert (access.url, access.form, access.secret) == ("https://plane.example/base", form, SECRET)
    assert control_plane_access({P + name: access.url, f"{P}SECRET": SECRET}, form) == access
    assert SECRET not in repr(access)


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("HTTPS://Plane.Example", "https://plane.example"),
        ("https://plane.example:443/base/", "https://plane.example/base"),
        ("http://plane.example:80", "http://plane.example"),
        ("https://plane.example:8443/", "https://plane.example:8443"),
        ("https://plane.example/a/../base?", "https://plane.example/base"),
    ],
)
def test_a_base_url_is_the_same_however_it_is_written(written: str, meant: str) -> None:
    """Two spellings would be two systems to the permission, and to the lock of who changes them."""
    assert control_plane_access({**CONTROL, f"{P}KHALA_URL": written}).url == meant
    assert gateway_access({f"{P}GATEWAY_BASE_URL": written}).base_url == meant


def test_khala_and_convex_may_both_be_set_if_they_agree() -> None:
    both = {**CONTROL, f"{P}CONVEX_URL": "https://plane.example/"}
    assert control_plane_access(both).form is ControlPlaneForm.CONVEX


def test_a_form_looks_at_its_own_variables_only() -> None:
    mixed = {**CONTROL, f"{P}API_BASE_URL": "https://other.example"}
    assert control_plane_access(mixed, ControlPlaneForm.API).url == "https://other.example"
    assert control_plane_access(mixed, ControlPlaneForm.CONVEX).url == "https://plane.example"
    with pytest.raises(EnvironmentVariableError, match=f"{P}API_BASE_URL: expected"):
        control_plane_access(CONTROL, ControlPlaneForm.API)


def test_the_gateway_has_the_defaults_of_the_runbook() -> None:
    access = gateway_access({})
    assert access.base_url == "https://l402.openagents.com"
    assert access.challenge_url == access.proxy_url == "https://l402.openagents.com/staging"
    assert access.health_path == "/healthz"
    assert (access.ops_token, access.proxy_authorization) == (None, None)


def test_a_gateway_that_is_named_alone_is_the_one_that_is_probed() -> None:
    access = gateway_access({f"{P}GATEWAY_BASE_URL": "https://mine.example/"})
    assert access.challenge_url == access.proxy_url == "https://mine.example/staging"


def test_a_resource_is_asked_for_as_it_is_written() -> None:
    access = gateway_access({f"{P}CHALLENGE_URL": "https://mine.example/a/?b=c"})
    assert access.challenge_url == "https://mine.example/a/?b=c"


BLANKABLE = (
    "KHALA_URL",
    "CONVEX_URL",
    "API_BASE_URL",
    "SECRET",
    "CRED_SETTLEMENT_READ",
    "GATEWAY_BASE_URL",
    "CHALLENGE_URL",
    "PROXY_URL",
    "GATEWAY_OPS_TOKEN",
    "GATEWAY_HEALTH_PATH",
    "PROXY_AUTHORIZATION_HEADER",
)


@pytest.mark.parametrize("blank", ["", "  ", "\t\n"])
@pytest.mark.parametrize("name", BLANKABLE)
def test_a_blank_variable_is_named(name: str, blank: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentVariableError) as caught:
        open_live_system({**CONTROL, P + name: blank}, folder=tmp_path)
    assert f"{P}{name}: expected a value, saw it blank; set it, or unset it" in str(caught.value)
    assert_one_line(caught.value)


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentVariableError) as caught:
        open_live_system({f"{P}GATEWAY_OPS_TOKEN": "", f"{P}PROXY_URL": "ftp://x"}, folder=tmp_path)
    for name in ("KHALA_URL", "SECRET", "GATEWAY_OPS_TOKEN", "PROXY_URL"):
        assert f"{P}{name}: expected" in str(caught.value)
    assert_one_line(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "plane.example",
        "ftp://plane.example",
        "https://",
        "http://:80",
        "http://plane.example:0",
        "http://plane.example:99999",
        "http://[::1",
        "https://user:pass@plane.example",
        "https://plane.example/#here",
        "https://pl ane.example",
        "https://plane.example\\evil",
        "javascript:alert(1)",
        "https://\N{LATIN SMALL LETTER E WITH ACUTE}.example",
    ],
)
@pytest.mark.parametrize("name", ["KHALA_URL", "GATEWAY_BASE_URL", "CHALLENGE_URL"])
def test_what_is_no_url_is_named_without_its_password(name: str, url: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentVariableError) as caught:
        open_live_system({**CONTROL, P + name: url}, folder=tmp_path)
    assert f"{P}{name}: expected" in str(caught.value)
    assert "pass" not in str(caught.value)
    assert_one_line(caught.value)


@pytest.mark.parametrize("name", ["KHALA_URL", "GATEWAY_BASE_URL"])
def test_a_base_url_has_no_query(name: str, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentVariableError, match=f"{P}{name}: expected a URL without query"):
        open_live_system({**CONTROL, P + name: "https://plane.example/?token=abc"}, folder=tmp_path)


@pytest.mark.parametrize("path", ["healthz", "//evil.example/x", "/a b", "/a?b", "/a#b", "/\\evil", "/\x7f"])
def test_a_health_path_is_a_path(path: str) -> None:
    with pytest.raises(EnvironmentVariableError, match=f"{P}GATEWAY_HEALTH_PATH: expected a path"):
        gateway_access({f"{P}GATEWAY_HEALTH_PATH": path})


@pytest.mark.parametrize("name", ["SECRET", "GATEWAY_OPS_TOKEN", "PROXY_AUTHORIZATION_HEADER"])
@pytest.mark.parametrize("character", ["\n", "\r", "\x00", "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_secret_that_no_header_carries_is_refused_and_not_shown(
    name: str, character: str, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentVariableError, match=f"{P}{name}: expected one line") as caught:
        open_live_system({**CONTROL, P + name: f"{SECRET}{character}x"}, folder=tmp_path)
    assert SECRET not in str(caught.value)


def test_two_control_planes_are_one_too_many() -> None:
    with pytest.raises(EnvironmentVariableError, match="expected one control plane, saw several"):
        control_plane_access({**CONTROL, f"{P}API_BASE_URL": "https://plane.example"})


def test_the_example_file_names_every_variable_that_is_read_and_no_other() -> None:
    lines = (TOP / "env.example").read_text().splitlines()
    named = {line.lstrip("# ").partition("=")[0] for line in lines if line.lstrip("# ").startswith(P)}
    read = {P + name for name in BLANKABLE} | {
        f"{P}CONTROL_PLANE_MODE",
        f"{P}CRED_GATEWAY_INVOICE",
        f"{P}CRED_OPERATOR_ADMIN",
    }
    assert named == read


def assert_one_line(error: Exception) -> None:
    assert len(str(error).splitlines()) == 1
    assert SECRET not in str(error)
