"""Reworded questions: whose answers they may get, and what a similar one that means something else gets."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

CACHE: Final = "tests/service/cache/test_semantic.py::"
EMBED: Final = "tests/service/cache/test_semantic_embed.py::"
GUARD: Final = "tests/service/cache/test_semantic_guard.py::"
INDEX: Final = "tests/service/cache/test_semantic_index.py::"
REFUSED: Final = (GUARD + "test_what_means_something_else_is_refused",)

ROWS: Final = (
    Mutation(
        "no account shares a scope of reworded questions",
        "service/cache/semantic.py",
        '_encoder.encode((VERSION, account, space, rest)))\n    return f"sa:{{{account}}}:s:',
        '_encoder.encode((VERSION, space, rest)))\n    return f"sa:{{everybody}}:s:',
        (CACHE + "test_no_two_accounts_share_a_scope",),
    ),
    Mutation(
        "earlier turns are part of a scope",
        "service/cache/semantic.py",
        "messages=(*earlier, shell)",
        "messages=(shell,)",
        (CACHE + "test_only_the_last_text_may_differ",),
    ),
    Mutation(
        "vectors of two models are not compared",
        "service/cache/semantic.py",
        "(VERSION, account, space, rest)",
        "(VERSION, account, rest)",
        (CACHE + "test_another_vector_space_is_another_scope",),
    ),
    Mutation(
        "a similar question that means something else gets no answer",
        "service/cache/semantic.py",
        "if not compare(asked, read(kept.text)):",
        "if True:",
        (CACHE + "test_what_is_similar_but_means_something_else_is_refused_and_counted",),
    ),
    Mutation(
        "the threshold decides",
        "service/cache/semantic_index.py",
        "if pair[0] >= threshold",
        "if pair[0] >= threshold / 2",
        (CACHE + "test_the_threshold_decides",),
    ),
    Mutation(
        "a full scope forgets its oldest question",
        "service/cache/semantic.py",
        ", 1) % ARGV[1])",
        ", 1))",
        (CACHE + "test_a_scope_holds_so_many_questions_and_no_more",),
    ),
    Mutation(
        "a question leaves with its answer",
        "service/cache/semantic_index.py",
        " and one.expires > now]",
        "]",
        (CACHE + "test_a_question_older_than_its_answer_s_time_is_not_used",),
    ),
    Mutation(
        "a scope of reworded questions expires",
        "service/cache/semantic.py",
        "redis.call('EXPIRE', KEYS[1], ARGV[2])\n",
        "",
        (CACHE + "test_questions_and_answers_leave_after_their_time",),
    ),
    Mutation(
        "the planes closest to a vector are taken both ways",
        "service/cache/semantic_index.py",
        "self._weights[closest] @ self._choices.T",
        "self._weights[closest] @ self._choices.T * 0",
        (INDEX + "test_what_brute_force_finds_is_found",),
    ),
    Mutation(
        "identical questions at the same time are one look",
        "service/cache/semantic.py",
        "looking = self._looking.get(cache_key)",
        "looking = None",
        (CACHE + "test_identical_questions_at_once_are_one_look",),
    ),
    Mutation(
        "a failing embedder is left alone for a while",
        "service/cache/semantic_embed.py",
        "if now < self._rests_until:",
        "if False:",
        (EMBED + "test_after_failures_in_a_row_it_rests_and_then_is_asked_again",),
    ),
    Mutation(
        "our impatience with a vector opens no breaker",
        "service/cache/semantic_embed.py",
        "deadline=time.monotonic() + PROVIDER_SECONDS",
        "deadline=time.monotonic() + self._seconds / 2",
        (EMBED + "test_our_impatience_does_not_open_the_provider_s_breaker",),
    ),
    Mutation(
        "another number is another question", "service/cache/semantic_guard.py",
        "if a.literal != b.literal:", "if False:", REFUSED,
    ),
    Mutation(
        "a negation is another question", "service/cache/semantic_guard.py",
        "    if changed:\n", "    if False:\n", REFUSED,
    ),
    Mutation(
        "another name is another question", "service/cache/semantic_guard.py",
        "if not (a.names <= set(b.words) and b.names <= set(a.words)):", "if False:", REFUSED,
    ),
    Mutation(
        "another order is another question", "service/cache/semantic_guard.py",
        "if _kept(a.order, shared) != _kept(b.order, shared):", "if False:", REFUSED,
    ),
    Mutation(
        "an opposite is another question", "service/cache/semantic_guard.py",
        "if any(_opposite(x, y) for x in only_a for y in only_b):", "if False:", REFUSED,
    ),
)  # fmt: skip
