"""Who waits for mail counts as idle until the very moment of the post, and not until it notices."""

from __future__ import annotations

from threading import Lock, Thread
from typing import Any

from golem_sdk.runtime.mailbox import Mail, Mailbox
from golem_sdk.testing.environment import VirtualEnvironment

MAIL = Mail(7, b"", False)


class Agent:
    def __init__(self) -> None:
        self.mutex = Lock()
        self.woken = 0

    def wake(self) -> None:
        self.woken += 1


class Watched(VirtualEnvironment):
    """Notes who comes and goes, and posts when everybody has left."""

    def __init__(self, mailbox: Mailbox, *, post: Any) -> None:
        super().__init__()
        self.mailbox = mailbox
        self.post = post
        self.seen: list[str] = []

    def enter(self) -> None:
        self.seen.append("enter")

    def leave(self) -> None:
        self.seen.append("leave")
        self.post(self)


def test_the_post_itself_enters_for_the_one_that_waits() -> None:
    mailbox = Mailbox(Agent())

    def post(environment: Watched) -> None:
        environment.mailbox.post(MAIL)
        environment.seen.append("posted")

    environment = Watched(mailbox, post=post)
    assert mailbox.wait(7, 60.0, environment) is MAIL
    assert environment.seen == ["leave", "enter", "posted"]


def test_closing_enters_for_it_too() -> None:
    mailbox = Mailbox(Agent())
    environment = Watched(mailbox, post=lambda _: mailbox.close())
    assert mailbox.wait(7, 60.0, environment) is None
    assert environment.seen == ["leave", "enter"]


def test_who_waits_in_vain_enters_by_itself() -> None:
    mailbox = Mailbox(Agent())
    environment = Watched(mailbox, post=lambda _: None)
    assert mailbox.wait(7, 0.001, environment) is None
    assert environment.seen == ["leave", "enter"]


def test_who_has_no_patience_does_not_let_time_pass() -> None:
    mailbox = Mailbox(Agent())
    environment = Watched(mailbox, post=lambda _: mailbox.post(MAIL))
    assert mailbox.wait(7, 0.0, environment) is None
    mailbox.post(MAIL)
    assert mailbox.wait(7, 0.0, environment) is MAIL
    assert environment.seen == []


def test_another_thread_may_post() -> None:
    mailbox = Mailbox(Agent())
    thread = Thread(target=mailbox.post, args=(MAIL,))
    environment = Watched(mailbox, post=lambda _: thread.start())
    assert mailbox.wait(7, 60.0, environment) is MAIL
    thread.join()
    assert environment.seen == ["leave", "enter"]


def test_what_was_waited_for_is_delivered_once() -> None:
    mailbox = Mailbox(Agent())
    mailbox.post(Mail(8, b"", False))
    mailbox.post(MAIL)
    environment = Watched(mailbox, post=lambda _: None)
    assert mailbox.wait(7, 60.0, environment) is MAIL
    assert mailbox.take() == Mail(8, b"", False)
    assert mailbox.take() is None


def test_what_comes_after_the_time_was_up_is_mail_like_any_other() -> None:
    agent = Agent()
    mailbox = Mailbox(agent)
    environment = Watched(mailbox, post=lambda _: None)
    assert mailbox.wait(7, 0.001, environment) is None
    mailbox.post(MAIL)
    assert agent.woken == 1
    assert environment.seen == ["leave", "enter"]
    assert mailbox.take() is MAIL


class Late:
    """A lock before whose second holder somebody posts: the one who waited in vain."""

    def __init__(self, mailbox: Mailbox) -> None:
        self.mailbox, self.lock, self.holders = mailbox, Lock(), 0

    def __enter__(self) -> None:
        self.holders += 1
        if self.holders == 2:
            self.mailbox.post(MAIL)
        self.lock.acquire()

    def __exit__(self, *_: object) -> None:
        self.lock.release()


def test_what_comes_when_the_time_is_up_disturbs_no_later_wait() -> None:
    agent = Agent()
    mailbox = Mailbox(agent)
    agent.mutex = Late(mailbox)  # type: ignore[assignment]  # it is a lock, too
    environment = Watched(mailbox, post=lambda _: None)
    assert mailbox.wait(7, 0.001, environment) is MAIL
    assert environment.seen == ["leave", "enter"]
    assert mailbox.wait(7, 0.001, environment) is None


def test_what_is_there_is_there_for_whoever_waits_for_anything() -> None:
    mailbox = Mailbox(Agent())
    environment = Watched(mailbox, post=lambda _: mailbox.post(MAIL))
    assert mailbox.wait_for_any(0.0, environment) is False
    assert environment.seen == []
    assert mailbox.wait_for_any(1.0, environment) is True
    assert mailbox.wait_for_any(60.0, environment) is True
    assert environment.seen == ["leave", "enter"]
    assert mailbox.take() is MAIL
    mailbox.close()
    assert mailbox.wait_for_any(60.0, environment) is False
