"""The bytes of aperture.yaml: quoted, plain ASCII, the same from either of PyYAML's two writers."""

import pytest
import yaml
from ops_paywalls import on_path, paywall, route

from pytest_l402.ops.compile.aperture_writer import render_aperture_yaml
from pytest_l402.ops.compile.compilation import compile_paywalls
from pytest_l402.ops.compile.paywall import PaywallStatus

KNOWN_FIELDS = {
    "name",
    "hostregexp",
    "pathregexp",
    "address",
    "protocol",
    "auth",
    "price",
    "timeout",
    "rewrite",
    "authskipinvoicecreationpaths",
}
SHOP = [
    on_path("a", '/it\'s "here": #1/[à-é]\t?', host="[::1]"),
    paywall("b", route(path="/b", upstream="https://h/v1/b")),
    on_path("c", "/c/d", status=PaywallStatus.PAUSED),
    on_path("d", "/c/*", priority=90),
]


def test_only_fields_that_aperture_has():
    document = yaml.safe_load(compile_paywalls(SHOP).aperture_yaml)
    assert list(document) == ["services"]
    for service in document["services"]:
        assert set(service) <= KNOWN_FIELDS
        assert isinstance(service["auth"], str)
        assert service["protocol"] in ("http", "https")
        assert "://" not in service["address"]


def test_text_is_quoted_and_numbers_are_not():
    text = compile_paywalls(SHOP).aperture_yaml
    assert text.isascii()
    assert text.endswith("\n")
    assert "  auth: 'on'\n" in text
    assert "  price: 21\n" in text
    assert "  rewrite:\n    prefix: '/v1'\n" in text
    for line in text.splitlines():
        key, _, value = line.strip().removeprefix("- ").partition(": ")
        assert not value or value.isdecimal() or (value[0] == value[-1] == "'"), (key, value)


@pytest.mark.skipif(not hasattr(yaml, "CSafeDumper"), reason="PyYAML without libyaml has one writer only")
def test_either_writer_of_pyyaml_gives_the_same_bytes():
    compiled = compile_paywalls([*SHOP, on_path("long", "/" + "very-long/" * 60 + "x")])
    services = [*compiled.rules, *compiled.closed]
    assert len(services) == 5
    assert render_aperture_yaml(services, yaml.SafeDumper) == render_aperture_yaml(services, yaml.CSafeDumper)
    assert render_aperture_yaml([], yaml.SafeDumper) == render_aperture_yaml([], yaml.CSafeDumper)


def test_every_regexp_is_anchored_at_both_ends():
    for service in yaml.safe_load(compile_paywalls(SHOP).aperture_yaml)["services"]:
        for key in ("hostregexp", "pathregexp"):
            assert service[key].removeprefix("(?i)").removeprefix("(?s)").startswith("^")
            assert service[key].endswith("$")
