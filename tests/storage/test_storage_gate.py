"""Who reads through a map, and who changes it, exclude each other."""

from __future__ import annotations

from threading import Event, Thread

from golem_sdk.storage.gate import MapGate


def test_readers_do_not_exclude_each_other() -> None:
    gate = MapGate()
    with gate.reading(), gate.reading():
        pass


def test_a_change_waits_for_readers_and_keeps_new_ones_out() -> None:
    gate, order, waits = MapGate(), list[str](), Event()

    def change() -> None:
        waits.set()
        with gate.changing():
            order.append("changed")

    def read() -> None:
        with gate.reading():
            order.append("read again")

    with gate.reading():
        changer = Thread(target=change)
        changer.start()
        waits.wait()
        while not gate._changing:
            pass
        reader = Thread(target=read)
        reader.start()
        order.append("read")
    changer.join()
    reader.join()
    assert order == ["read", "changed", "read again"]


def test_changes_exclude_each_other() -> None:
    gate, inside, most = MapGate(), 0, 0

    def change() -> None:
        nonlocal inside, most
        for _ in range(200):
            with gate.changing():
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [Thread(target=change) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
