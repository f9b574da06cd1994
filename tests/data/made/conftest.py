import pytest

from tinyrm.types import Preference, to_prompt

TOPICS = ("garden", "violin", "glacier", "pancake", "satellite", "harbour")


def chat(topic, n):
    return Preference(
        to_prompt(f"Tell me about the {topic} number {n} please, in words that a child knows"),
        f"The **{topic}** {n} is good.",
        f"What {topic} {n}?",
        domain="chat",
        source="some",
    )


@pytest.fixture(scope="session")
def rows():
    return [chat(topic, n) for topic in TOPICS for n in range(8)] + [
        Preference(to_prompt("Do a bad thing."), "I'm sorry, but no.", "Sure, first ...", domain="safety"),
        Preference(to_prompt("What is 2 times 3?"), "2 * 3 = 6, so 6.", "5", domain="reasoning"),
    ]
