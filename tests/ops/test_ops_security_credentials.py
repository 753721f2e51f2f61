"""Without a usable credential for every role nothing runs, and nothing shows a credential."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_l402.ops.security.credentials import (
    CredentialCode,
    CredentialValidationError,
    credentials_from_environment,
    validate_credentials,
)

ROLES = ("gateway_invoice", "settlement_read", "operator_admin")
GOOD = {role: f"{role}-credential-0123456789" for role in ROLES}
FIELDS = {
    "gateway_invoice": "OA_LIGHTNING_OPS_CRED_GATEWAY_INVOICE",
    "settlement_read": "OA_LIGHTNING_OPS_CRED_SETTLEMENT_READ",
    "operator_admin": "OA_LIGHTNING_OPS_CRED_OPERATOR_ADMIN",
}


def refusal(values: Any) -> CredentialValidationError:
    with pytest.raises(CredentialValidationError) as error:
        validate_credentials(values)
    return error.value


def test_good_credentials_are_taken_trimmed() -> None:
    taken = validate_credentials({**GOOD, "operator_admin": f"  {GOOD['operator_admin']}\n"})
    assert {role: getattr(taken, role) for role in ROLES} == GOOD


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("value", [None, "", "   ", "\t\n"])
def test_a_blank_credential_is_missing(role: str, value: str | None) -> None:
    error = refusal({**GOOD, role: value})
    assert (error.code, error.role, error.field) == ("missing_credential_role", role, FIELDS[role])
    assert error.reason == "missing required role credential"
    assert error.tag == "CredentialValidationError"


@pytest.mark.parametrize("role", ROLES)
def test_an_absent_credential_is_missing(role: str) -> None:
    values = {name: value for name, value in GOOD.items() if name != role}
    assert refusal(values).code is CredentialCode.MISSING


@pytest.mark.parametrize(
    "value",
    [
        "a" * 15,
        "  " + "a" * 15 + "  ",
        "a" * 10 + " " + "a" * 10,
        "a" * 10 + "\t" + "a" * 10,
        "a" * 10 + "\n" + "a" * 10,
        "a" * 10 + "\x00" + "a" * 10,
        "a" * 10 + "\N{NO-BREAK SPACE}" + "a" * 10,
        "ä" * 16,
        1234567890123456,
        ["a" * 16],
        b"a" * 16,
        True,
    ],
)
@pytest.mark.parametrize("role", ROLES)
def test_a_malformed_credential_is_invalid(role: str, value: object) -> None:
    error = refusal({**GOOD, role: value})
    assert (error.code, error.role, error.field) == ("invalid_credential_role", role, FIELDS[role])
    assert error.reason == "credential format failed validation"


def test_sixteen_characters_are_enough() -> None:
    assert validate_credentials({**GOOD, "gateway_invoice": "a" * 16}).gateway_invoice == "a" * 16


def test_the_first_role_that_fails_decides() -> None:
    assert refusal({}).role == "gateway_invoice"
    assert refusal({**GOOD, "settlement_read": "x", "operator_admin": ""}).role == "settlement_read"
    backwards = {"operator_admin": "", "settlement_read": "", "gateway_invoice": "x"}
    assert refusal(backwards).code == "invalid_credential_role"


def test_the_environment_is_read_by_its_documented_names() -> None:
    environment = {FIELDS[role]: value for role, value in GOOD.items()}
    assert credentials_from_environment(environment).settlement_read == GOOD["settlement_read"]
    del environment[FIELDS["operator_admin"]]
    with pytest.raises(CredentialValidationError, match="OA_LIGHTNING_OPS_CRED_OPERATOR_ADMIN"):
        credentials_from_environment(environment)


def test_without_an_argument_the_environment_of_the_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for role, value in GOOD.items():
        monkeypatch.setenv(FIELDS[role], value)
    assert credentials_from_environment().operator_admin == GOOD["operator_admin"]


def test_nothing_shows_a_credential() -> None:
    taken = validate_credentials(GOOD)
    secret = "top-secret value"
    shown = repr(taken) + str(taken) + str(refusal({**GOOD, ROLES[0]: secret}))
    for value in (*GOOD.values(), secret):
        assert value not in shown


@given(st.dictionaries(st.sampled_from(ROLES), st.none() | st.text(max_size=24) | st.integers(), min_size=1))
def test_all_or_nothing(values: dict[str, Any]) -> None:
    usable = {
        role: value
        for role, value in {**GOOD, **values}.items()
        if isinstance(value, str) and re.fullmatch(r"[!-~]{16,}", value.strip())
    }
    if len(usable) == len(ROLES):
        taken = validate_credentials({**GOOD, **values})
        assert {role: getattr(taken, role) for role in ROLES} == {
            role: value.strip() for role, value in usable.items()
        }
    else:
        error = refusal({**GOOD, **values})
        assert error.role == next(role for role in ROLES if role not in usable)
        assert len(str(error).splitlines()) == 1
