"""Which rewordings may share an answer, and which texts look alike and mean something else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.cache.semantic_guard import difference

SAME = [
    ("How do I reset my password?", "how can i reset my password"),
    ("How do I reset my password?", "Please tell me how to reset my password."),
    ("How do I reset my password?", "How do I reset the password?"),
    ("What is the capital of France?", "What's the capital of France?"),
    ("What is the capital of France?", "Could you tell me what the capital of France is?"),
    ("What is the capital of France?", "capital of france"),
    ("What is your refund policy?", "Tell me about your refund policy"),
    ("What are the benefits of regular exercise?", "What are the advantages of regular exercise?"),
    ("Where can I download my invoice?", "Where do I download my invoices?"),
    ("What is the difference between TCP and UDP?", "Explain the difference between TCP and UDP."),
    ("What does `len(x)` do?", "What does `len(x)` do"),
    ("What is 12 times 7?", "what's 12 times 7"),
    ("Why doesn't it work?", "Why does it not work?"),
    ("Wie setze ich mein Passwort zurück?", "wie setze ich mein passwort zurück"),
]

# (reason, one, other)
OTHER = [
    ("literal", "What is 12 times 7?", "What is 12 times 8?"),
    ("literal", "What is -5 plus 3?", "What is 5 plus 3?"),
    ("literal", "What is 5!?", "What is 5?"),
    ("literal", "Is .5 a lot?", "Is 5 a lot?"),
    ("literal", "Convert 3 to 5", "Convert 5 to 3"),
    ("literal", "Is $100 enough?", "Is €100 enough?"),
    ("literal", "Who won the 1998 World Cup?", "Who won the 2002 World Cup?"),
    ("literal", "What happened on 2024-01-02?", "What happened on 2024-02-01?"),
    ("literal", "Translate 'cat' into French", "Translate 'dog' into French"),
    ("literal", 'What does "sick" mean?', 'What does "wicked" mean?'),
    ("literal", "Translate “Good day” into French", "Translate “good day” into French"),
    ("literal", "What does `a + b` do?", "What does `a - b` do?"),
    ("literal", "Explain ```x = 1```", "Explain ```x = 2```"),
    ("literal", "Explain recursion in Java", "Explain recursion in JavaScript"),
    ("literal", "What does getUser return?", "What does setUser return?"),
    ("literal", "What does user_id mean?", "What does user_ids mean?"),
    ("literal", "Is C++ fast?", "Is C# fast?"),
    ("literal", "Open /etc/passwd", "Open /etc/shadow"),
    ("literal", "Write to a@example.com", "Write to b@example.com"),
    ("literal", "Which vitamins does group B have?", "Which vitamins does group D have?"),
    ("literal", "Is the US rich?", "Is the UK rich?"),
    ("literal", "Solve it for x please", "Solve it for y please"),
    ("literal", "What is f(x) here?", "What is g(x) here?"),
    ("negation", "Is this mushroom edible?", "Is this mushroom not edible?"),
    ("negation", "Can I eat it?", "Can't I eat it?"),
    ("negation", "Delete the file", "Don't delete the file"),
    ("relation", "List the cities without an airport", "List the cities with an airport"),
    ("number", "Summarise the chapter one", "Summarise the chapter two"),
    ("number", "Who was the first president?", "Who was the second president?"),
    ("date", "What do shops do on Monday?", "What do shops do on Sunday?"),
    ("date", "What is the weather today?", "What is the weather tomorrow?"),
    ("date", "Is it cold in January?", "Is it cold in July?"),
    ("quantity", "Are all of the swans white?", "Are some of the swans white?"),
    ("quantity", "What is the minimum dose?", "What is the maximum dose?"),
    ("quantity", "Which one is more expensive?", "Which one is less expensive?"),
    ("question", "When was Einstein born?", "Where was Einstein born?"),
    ("tense", "Did the prices rise?", "Will the prices rise?"),
    ("modal", "Should I take aspirin?", "Can I take aspirin?"),
    ("relation", "What should I do before surgery?", "What should I do after surgery?"),
    ("relation", "How do I turn the light on?", "How do I turn the light off?"),
    ("relation", "Is it the tea or the coffee?", "Is it the tea and the coffee?"),
    ("name", "What is the capital of France?", "What is the capital of Germany?"),
    ("name", "How do I install it on Windows?", "How do I install it on Linux?"),
    ("person", "What is my name?", "What is your name?"),
    ("person", "Do I owe you money?", "Do you owe me money?"),
    ("person", "Is he married?", "Is she married?"),
    ("order", "Convert the euros to dollars", "Convert the dollars to euros"),
    ("order", "Is it true that Alice pays Bob?", "Is it true that Bob pays Alice?"),
    ("order", "Can you subtract 5 from it?", "Can you subtract it from 5?"),
    ("order", "What is added to `x` here?", "What is `x` added to here?"),
    ("order", "flights from Berlin to Paris", "flights to Berlin from Paris"),
    ("order", "Is it the tea but not the milk?", "Is it not the tea but the milk?"),
    ("opposite", "How do I enable the alarm?", "How do I disable the alarm?"),
    ("opposite", "How do I buy shares?", "How do I sell shares?"),
    ("opposite", "What are the pros of remote work?", "What are the cons of remote work?"),
    ("opposite", "Is the area safe at night?", "Is the area unsafe at night?"),
    ("opposite", "How do I install the driver?", "How do I uninstall the driver?"),
    ("opposite", "Is the drug harmful?", "Is the drug harmless?"),
    ("content", "Where is the cat?", "Where is the dog?"),
    ("language", "What is it?", "What is this thing?"),
    ("language", "Wie kann ich das tun?", "Wie kann ich das nicht tun?"),
    ("language", "Est-ce que c'est bon?", "Est-ce que c'est pas bon?"),
    ("language", "今日は何日ですか", "今日は何曜日ですか"),
    ("language", "reset password", "change password"),
    (
        "length",
        "I have a red car with a diesel engine and I would like to know which kind of lubricant and which "
        "brand of tyres a careful driver of my age buys at the garage",
        "I have a blue car with a diesel engine and I would like to know which kind of lubricant and which "
        "brand of tyres a careful driver of my age buys at the garage",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("one", "other"), SAME)
def test_a_rewording_may_have_the_same_answer(one: str, other: str) -> None:
    assert difference(one, other) == difference(other, one) == ""


@pytest.mark.parametrize(("reason", "one", "other"), OTHER)
def test_what_means_something_else_is_refused(reason: str, one: str, other: str) -> None:
    assert difference(one, other) == difference(other, one) == reason


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_text_can_be_compared_and_is_like_itself(one: str, other: str) -> None:
    assert difference(one, one) == ""
    assert bool(difference(one, other)) == bool(difference(other, one))


@given(st.integers(), st.integers())
def test_another_number_is_another_question(one: int, other: int) -> None:
    told = difference(f"What is the root of {one}?", f"What is the root of {other}?")
    assert told == ("" if one == other else "literal")
