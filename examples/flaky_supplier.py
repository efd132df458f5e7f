"""A supplier that is down now and then: retried in place, for hours if need be, without holding a thread.

python examples/flaky_supplier.py
"""

from __future__ import annotations

from golem_sdk import FunctionType, RetryPolicy, Runtime, agent, durable, retry_policy

DOWN_FOR = {"screws": 2, "nails": 0, "glue": 9}
"""How many questions in a row the supplier does not answer (in this process)."""


class OutOfBusinessError(Exception):
    """There is no point in asking again."""


@durable(function_type=FunctionType.READ_REMOTE)
def ask_supplier(item: str) -> int:
    """How many of it the supplier has."""
    if item not in DOWN_FOR:
        raise OutOfBusinessError(f"nobody makes {item} any more")
    if DOWN_FOR[item] > 0:
        DOWN_FOR[item] -= 1
        raise ConnectionError(f"the supplier of {item} does not answer")
    return 7 * len(item)


@agent
def stock_of(item: str) -> str:
    """Asks with patience, but not for ever."""
    patience = RetryPolicy(
        max_attempts=5,
        min_delay=0.01,
        max_delay=60,
        multiplier=2,
        give_up_on=OutOfBusinessError,
    )
    try:
        with retry_policy(patience):
            return f"{item}: {ask_supplier(item)} in stock"
    except (ConnectionError, OutOfBusinessError) as error:  # the last attempt's, like any exception
        return f"{item}: unknown, {error}"


def main() -> None:
    with Runtime() as runtime:
        for item in ("screws", "nails", "glue", "candles"):
            print(runtime.run(stock_of, item), flush=True)


if __name__ == "__main__":
    main()
