"""Run it, kill it (kill -9, if you like) and run it again: it goes on where it was.

python examples/quickstart.py    # the store: GOLEM_STORE, or .golem in the working directory
"""

import random
import time

from golem_sdk import Runtime, agent


@agent
def throw_dice(times: int) -> list[int]:
    thrown = []
    for number in range(1, times + 1):
        time.sleep(0.3)
        thrown.append(random.randint(1, 6))
        print(f"throw {number} of {times}: {thrown[-1]}", flush=True)
    return thrown


with Runtime() as runtime:  # resumes what was interrupted
    print("result:", runtime.run(throw_dice, 10))
