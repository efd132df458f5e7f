"""What a step gives, to us and to the peers: a dict of about 200 bytes."""

from __future__ import annotations

from typing import Final

__all__ = ["ROW", "Row"]

Row = dict[str, object]

ROW: Final[Row] = {
    "id": "order-000017",
    "status": "accepted",
    "amount": 1999,
    "currency": "EUR",
    "note": "leave it with the neighbours on the left if nobody answers the door, and ring twice",
    "tags": ["fragile", "gift"],
    "paid": True,
    "weight": 0.25,
}
