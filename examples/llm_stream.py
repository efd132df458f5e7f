"""An agent that streams a model's answer through OpenAI's own client (pip install openai).

python examples/llm_stream.py    # kill it in the middle of the story and run it again

Every chunk is recorded as it arrives. A stream that a crash has cut is asked for again if no word had come.
Else another answer could not go on with these words: the agent sees a broken connection and asks again, under
the same Idempotency-Key, so that a provider that honours it bills the answer once. OPENAI_BASE_URL names the
provider; without it, fake_llm.py is started in a thread.
"""

from __future__ import annotations

import os
import runpy
from pathlib import Path

from openai import APIConnectionError, OpenAI

from golem_sdk import Runtime, agent


@agent
def tell_story(about: str) -> str:
    client = OpenAI()  # OPENAI_BASE_URL and OPENAI_API_KEY
    while (story := ask(client, about)) is None:
        print("\n[the connection was lost, asking again]", flush=True)
    return story


def ask(client: OpenAI, about: str) -> str | None:
    """The story, or ``None`` if the stream broke off."""
    words = []
    stream = client.chat.completions.create(
        model="fake",
        messages=[{"role": "user", "content": f"Tell me a story about {about}."}],
        extra_headers={"Idempotency-Key": f"story about {about}"},
        stream=True,
    )
    try:
        for part in stream:
            words.append(part.choices[0].delta.content or "")
            print(words[-1], end="", flush=True)
    except APIConnectionError:
        return None
    print(flush=True)
    return "".join(words).strip()


def main() -> None:
    if "OPENAI_BASE_URL" not in os.environ:
        fake = runpy.run_path(str(Path(__file__).with_name("fake_llm.py")))
        os.environ["OPENAI_BASE_URL"], os.environ["OPENAI_API_KEY"] = fake["start"](), "none"
    with Runtime() as runtime:
        print("result:", runtime.run(tell_story, "durability"))


if __name__ == "__main__":
    main()
