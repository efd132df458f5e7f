"""Secrets never reach the oplog, and what is stored of them tells them apart."""

from __future__ import annotations

import hashlib
import re

import pytest

from golem_sdk.core.redaction import (
    fingerprint_of_secret,
    names_secret,
    stored_headers,
    stored_url,
    without_url_secrets,
)

CANARY = "canary-5150"


@pytest.mark.parametrize(
    "name",
    ["Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "Auth-Token", "App-Secret"],
)
def test_secret_headers_are_redacted(name: str) -> None:
    [[stored_name, value]] = stored_headers([(name, CANARY)])
    assert stored_name == name.lower()
    assert value == f"<redacted:{hashlib.sha256(CANARY.encode()).hexdigest()[:8]}>"


@pytest.mark.parametrize(
    "name",
    [
        "content-encoding",
        "content-type",
        "idempotency-key",
        "if-match",
        "if-modified-since",
        "if-none-match",
        "if-unmodified-since",
        "prefer",
        "range",
    ],
)
def test_harmless_headers_are_stored(name: str) -> None:
    assert stored_headers([(name.title(), "as it is")]) == [[name, "as it is"]]


def test_only_known_harmless_headers_are_stored() -> None:
    headers = [("Content-Type", "text/plain"), ("Idempotency-Key", "7"), ("X-New", CANARY)]
    assert stored_headers(headers) == [["content-type", "text/plain"], ["idempotency-key", "7"]]


@pytest.mark.parametrize(
    "url",
    [
        f"https://api/x?key={CANARY}",
        f"https://api/x?page=2&api_key={CANARY}#top",
        f"https://api/x?X-Amz-Signature={CANARY}&b=c",
        f"https://api/x?access_token={CANARY}",
        f"https://api/x?SIG={CANARY}",
        f"https://api/x?client_secret={CANARY}",
        f"https://api/x?accesskey={CANARY}",
        f"https://api/x?awsAccessKey={CANARY}",
        f"https://user:{CANARY}@api/x",
        f"https://{CANARY}@api/x?y=z",
        f"https://user:{CANARY}@{CANARY}@api/x",
    ],
)
def test_urls_are_redacted(url: str) -> None:
    found = re.search(r"(?<=//).*(?=@)", url)
    secret = found[0] if found else CANARY
    assert stored_url(url) == url.replace(secret, fingerprint_of_secret(secret))
    assert without_url_secrets(url) == url.replace(secret, "<redacted>")


@pytest.mark.parametrize(
    "url",
    [
        "https://api/x?keyboard=qwerty&monkey=1",
        "https://api/tokens/7?sigma=2",
        "https://api/a@b?c=d",
    ],
)
def test_harmless_urls_are_stored_as_they_are(url: str) -> None:
    assert stored_url(url) == without_url_secrets(url) == url


@pytest.mark.parametrize("text", ["GET /x?key={} failed", "sent to https://{}@api/x", "#token={}"])
def test_secrets_within_texts_are_blanked(text: str) -> None:
    assert without_url_secrets(text.format(CANARY)) == text.format("<redacted>")


@pytest.mark.parametrize(
    ("name", "secret"),
    [
        ("Cookie", True),
        ("Proxy-Authorization", True),
        ("API_KEY", True),
        ("accessToken", True),
        ("client_secret[]", True),
        ("keyboard", False),
        ("page", False),
    ],
)
def test_names_of_secrets(name: str, secret: bool) -> None:
    assert names_secret(name) is secret


def test_two_secrets_are_told_apart() -> None:
    assert fingerprint_of_secret("a") != fingerprint_of_secret("b")
    assert fingerprint_of_secret("\udc80")
