"""Values as text that people read: exactly, and without secrets."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from codec.strategies import same
from golem_sdk.testing import values
from golem_sdk.testing.plaintext import from_plain, to_plain
from golem_sdk.testing.redacting import Secrets, redacted

CANARY = "canary-5f2c91"


@given(value=values())
def test_s2_plain_text_comes_back_exactly(value: object) -> None:
    assert same(from_plain(to_plain(value)), value)


def test_plain_values_read_as_such() -> None:
    value = {"a": [1, None, "x"], "b": (b"text", b"\xff"), "c": {1}}
    assert to_plain(value) == {
        "a": [1, None, "x"],
        "b": {
            "$": "tuple",
            "items": [{"$": "bytes", "text": "text"}, {"$": "bytes", "base64": "/w=="}],
        },
        "c": {"$": "stored", "value": to_plain({1})["value"], "shown": "{1}"},
    }


@pytest.mark.parametrize(
    "value",
    [
        {"access_token": CANARY},
        {"deep": [{"password": CANARY}]},
        [["Authorization", CANARY]],
        [(b"set-cookie", CANARY.encode())],
        f"https://user:{CANARY}@host/",
        f"https://host/?api_key={CANARY}&x=1",
        f'{{"refresh_token": "{CANARY}"}}',
        b'{"a": [{"client_secret": "%s"}]}' % CANARY.encode(),
        [{"access_token": CANARY}, f"Bearer {CANARY}", CANARY.encode(), ValueError(CANARY)],
    ],
    ids=str,
)
def test_secrets_are_blanked_wherever_they_are(value: Any) -> None:
    assert CANARY not in repr(redacted(value))
    assert "redacted" in repr(redacted(value))


@given(value=values())
def test_what_has_no_secret_stays(value: object) -> None:
    secrets = Secrets()
    secrets.find({"token": CANARY})
    assert same(secrets.without(value), value)
