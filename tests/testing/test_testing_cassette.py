"""Cassettes: recorded once, played without any effect, with differences and secrets looked after."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import httpcore
import httpx
import pytest

from golem_sdk import RetryPolicy, agent, atomically, durable, retry_policy, trigger
from golem_sdk.testing import UnrecordedEffectError, VirtualRuntime
from golem_sdk.testing.cassette import Cassette, Player, record
from testing.inner import run_tests

if TYPE_CHECKING:
    from collections.abc import Callable

PERFORMED: list[str] = []
DOWN = [0]


@durable
def post(what: str) -> dict[str, Any]:
    PERFORMED.append(what)
    return {"id": what, "parts": (1, 2)}


@durable
def shaky(what: str) -> str:
    PERFORMED.append(what)
    if DOWN[0] > 0:
        DOWN[0] -= 1
        raise ConnectionError(f"{what} is down")
    return f"{what} works"


@durable
async def apost(what: str) -> str:
    PERFORMED.append(what)
    return what


@agent(name="TapedClerk")
class Clerk:
    def __init__(self, name: str) -> None:
        self.done: list[Any] = []

    def work(self, what: str) -> list[Any]:
        import time
        import uuid

        self.done += [post(what), str(uuid.uuid4()), time.time()]
        return self.done

    def insist(self, what: str) -> str:
        with retry_policy(RetryPolicy(max_attempts=5, min_delay=5, max_delay=60)):
            return shaky(what)

    def together(self, what: str) -> str:
        with retry_policy(RetryPolicy(max_attempts=5)), atomically():
            post(what)
            return shaky(what)

    async def gather(self, what: str) -> list[str]:
        import asyncio

        return await asyncio.gather(*(apost(f"{what} {n}") for n in range(3)))

    def give_up(self, what: str) -> str:
        try:
            with retry_policy(RetryPolicy(max_attempts=2)):
                return shaky(what)
        except ConnectionError as error:
            return f"gave up: {error}"

    def swallow(self, what: str) -> str:
        try:
            post(what)
        except Exception:
            return "swallowed"
        return "posted"

    def delegate(self, what: str) -> Any:
        return trigger(run_errand, what).result()


@agent(name="taped_errand")
def run_errand(what: str) -> Any:
    return post(what)


Scenario = "Callable[[VirtualRuntime], Any]"


def clerk(runtime: VirtualRuntime) -> Any:
    return runtime.get(Clerk, "ada")


SCENARIOS: dict[str, Callable[[VirtualRuntime], Any]] = {
    "calls": lambda runtime: clerk(runtime).work("lamp"),
    "retries": lambda runtime: clerk(runtime).insist("door"),
    "region": lambda runtime: clerk(runtime).together("door"),
    "async": lambda runtime: runtime.trigger(clerk(runtime).gather, "tea").result(),
    "failure": lambda runtime: clerk(runtime).give_up("door"),
    "other-agents": lambda runtime: clerk(runtime).delegate("lamp"),
}


@pytest.fixture(autouse=True)
def _fresh_world() -> None:
    PERFORMED.clear()
    DOWN[0] = 2


def recorded(scenario: Callable[[VirtualRuntime], Any]) -> tuple[Any, Cassette]:
    with VirtualRuntime() as runtime:
        result = scenario(runtime)
        runtime.restart()
        return result, Cassette.from_text(record(runtime).to_text())


@pytest.mark.parametrize("name", SCENARIOS)
@pytest.mark.parametrize("crash", [None, 1, 4, 5, 6, 7])
def test_playing_gives_what_was_recorded_and_performs_nothing(name: str, crash: int | None) -> None:
    expected, cassette = recorded(SCENARIOS[name])
    assert PERFORMED
    PERFORMED.clear()
    player = Player(cassette)
    with VirtualRuntime(performer=player) as runtime:
        if crash is not None:
            runtime.crash(append=crash)
        assert SCENARIOS[name](runtime) == expected
    assert PERFORMED == []
    assert player.missing == []
    assert player.unused == []


def test_what_is_not_on_it_is_not_performed_and_told_with_the_difference() -> None:
    _, cassette = recorded(lambda runtime: clerk(runtime).work("lamp"))
    PERFORMED.clear()
    player = Player(cassette)
    with (
        VirtualRuntime(performer=player) as runtime,
        pytest.raises(UnrecordedEffectError) as caught,
    ):
        clerk(runtime).work("chair")
    assert PERFORMED == []
    assert caught.value.agent_id == 'TapedClerk("ada")'
    text = str(caught.value)
    assert "first difference: request[0][0]: recorded 'lamp', attempted 'chair'" in text
    assert "self.done += [post(what)" in text, "the line that made the call"
    assert "--golem-record" in text
    (left,) = player.unused
    assert left.name.endswith("post")


def test_of_a_call_that_was_never_made_the_rest_is_told() -> None:
    _, cassette = recorded(lambda runtime: clerk(runtime).work("lamp"))
    with (
        VirtualRuntime(performer=Player(cassette)) as runtime,
        pytest.raises(UnrecordedEffectError, match=r"no such call; what is left .*post"),
    ):
        clerk(runtime).give_up("door")


def test_a_missing_call_is_remembered_though_the_agent_swallows_it() -> None:
    player = Player(Cassette(()))
    with VirtualRuntime(performer=player) as runtime:
        assert clerk(runtime).swallow("lamp") == "swallowed"
    assert len(player.missing) == 1


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("", 1),
        ('{"golem cassette": 99}\n', 1),
        ('{"golem cassette": 1}\n{}\n', 2),
        ('{"golem cassette": 1}\nnonsense\n', 2),
        ('{"golem cassette": 1}\n[]\n', 2),
    ],
)
def test_a_file_that_is_no_cassette_is_refused_with_the_line(text: str, line: int) -> None:
    with pytest.raises(ValueError, match=f"line {line}"):
        Cassette.from_text(text)


CANARY = "canary-5f2c91"


@durable
def log_in(user: str) -> dict[str, str]:
    return {"user": user, "access_token": CANARY}


@durable
def fetch(token: str, page: int) -> str:
    assert token == CANARY
    return f"page {page} for {token}"


@agent(name="TapedReader")
def read_pages(user: str) -> list[str]:
    token = log_in(user)["access_token"]
    return [fetch(token, number) for number in range(2)]


def test_a_redacted_token_that_is_passed_on_still_fits() -> None:
    pages, cassette = recorded(lambda runtime: runtime.run(read_pages, "ada"))
    assert CANARY in pages[0]
    assert CANARY not in cassette.to_text()
    with VirtualRuntime(performer=Player(cassette)) as runtime:
        assert runtime.run(read_pages, "ada")[1].startswith("page 1 for <redacted:")


@agent(name="TapedBrowser")
def browse(url: str) -> list[Any]:
    with httpx.Client() as client:
        response = client.get(url, headers={"Authorization": f"Bearer {CANARY}"})
        return [response.status_code, response.json()["access_token"], response.headers["x"]]


def test_http_is_played_without_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    body = b'{"access_token": "%s"}' % CANARY.encode()

    def answer(pool: Any, request: Any) -> Any:
        PERFORMED.append(str(request.url))
        return httpcore.Response(
            200, headers=[(b"x", b"y"), (b"set-cookie", CANARY.encode())], content=body
        )

    monkeypatch.setattr("httpcore.ConnectionPool.handle_request", answer)
    result, cassette = recorded(lambda runtime: runtime.run(browse, "http://shop.test/a?token=t0p"))
    assert result == [200, CANARY, "y"]
    assert len(PERFORMED) == 1
    text = cassette.to_text()
    assert CANARY not in text
    assert "t0p" not in text
    with VirtualRuntime(performer=Player(cassette)) as runtime:
        status, token, header = runtime.run(browse, "http://shop.test/a?token=t0p")
    assert (status, token[:10], header) == (200, "<redacted:", "y")
    assert len(PERFORMED) == 1


USER = """
import pytest
from golem_sdk import agent, durable

SENT = []

@durable
def send(item: str) -> str:
    SENT.append(item)
    return f"{item} sent"

@agent
def sell(item: str) -> str:
    return send(item)

@pytest.mark.cassette
def test_sells(runtime):
    assert runtime.run(sell, "lamp") == "lamp sent"
    print("performed", SENT)
"""


def test_record_play_change_and_review(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pytester.makepyfile(test_taped=USER)

    def run(*arguments: str) -> pytest.RunResult:
        return run_tests(pytester, monkeypatch, "-s", *arguments)

    result = run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        "*there is no cassette tests/cassettes/test_taped.test_sells.jsonl*"
    )
    result = run("--golem-record")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        [
            "*performed ?'lamp'?*",
            "recorded: tests/cassettes/test_taped.test_sells.jsonl: 1 calls",
        ]
    )
    result = run()
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines("*performed ??*")
    run("--golem-record").stdout.fnmatch_lines("unchanged: tests/cassettes/test_taped.*")

    source.write_text(USER.replace("send(item)\n\n@pytest", "send(item.upper())\n\n@pytest"))
    result = run()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(
        "*first difference: request?0??0?: recorded 'lamp', attempted 'LAMP'"
    )
    assert "performed [" not in result.stdout.str()
    source.write_text(source.read_text().replace('"lamp sent"', '"LAMP sent"'))
    result = run("--golem-record")
    result.stdout.fnmatch_lines(
        ["changed: tests/cassettes/*", '*-{"agent"*"lamp"*', '*+{"agent"*"LAMP"*']
    )


def test_a_stale_cassette_is_reported(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = pytester.makepyfile(test_taped=USER)
    run_tests(pytester, monkeypatch, "--golem-record").assert_outcomes(passed=1)
    source.write_text(re.sub(r"return send\(item\)", 'return f"{item} sent"', USER))
    result = run_tests(pytester, monkeypatch)
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(
        "stale: *test_taped.test_sells.jsonl: 1 recorded calls were not made*"
    )
    source.write_text(USER.replace("test_sells", "test_other").replace("@pytest.mark.cassette", ""))
    result = run_tests(pytester, monkeypatch)
    result.stdout.fnmatch_lines("stale: *test_taped.test_sells.jsonl: it belongs to no test*")


def test_a_failed_test_records_nothing_and_a_swallowed_call_fails(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing = USER.replace('print("performed", SENT)', "assert False")
    source = pytester.makepyfile(test_taped=failing)
    run_tests(pytester, monkeypatch, "--golem-record").assert_outcomes(failed=1)
    assert not (pytester.path / "tests/cassettes").exists()
    source.write_text(USER)
    run_tests(pytester, monkeypatch, "--golem-record").assert_outcomes(passed=1)
    swallowing = USER.replace(
        "    return send(item)",
        "    send(item)\n    try:\n        send('more')\n    except Exception:\n        pass\n"
        "    return f'{item} sent'",
    )
    source.write_text(swallowing)
    result = run_tests(pytester, monkeypatch)
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines("*no such call; what is left of this agent's: nothing*")


def test_the_files_of_tests_with_odd_names_differ(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = USER.replace("def test_sells(runtime)", "def test_sells(runtime, how)").replace(
        "@pytest.mark.cassette",
        '@pytest.mark.cassette\n@pytest.mark.parametrize("how", ["a b", "a/b"])',
    )
    pytester.makepyfile(test_taped=source)
    run_tests(pytester, monkeypatch, "--golem-record").assert_outcomes(passed=2)
    assert len(list((pytester.path / "tests/cassettes").iterdir())) == 2
    run_tests(pytester, monkeypatch).assert_outcomes(passed=2)


def test_the_file_is_readable(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> None:
    pytester.makepyfile(test_taped=USER)
    run_tests(pytester, monkeypatch, "--golem-record").assert_outcomes(passed=1)
    (path,) = (pytester.path / "tests/cassettes").iterdir()
    header, line = path.read_text().splitlines()
    assert header == '{"golem cassette": 1}'
    assert line.startswith(
        '{"agent": "sell(\\"lamp\\")", "call": "test_taped.send", "type": "write-remote",'
        ' "request": [["lamp"], {}], "result": "lamp sent", "fingerprint": "'
    )
