"""The semantic cache: what a look costs among 10 and among 100,000 questions, how many of the similar ones it
finds beside brute force, and what it adds to a request.
"""

from __future__ import annotations

import json
import random
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from itertools import pairwise

import numpy as np
import uvloop

from service.auth.permissions import Principal
from service.cache import exact
from service.cache.exact import Entry
from service.cache.semantic import SemanticCache
from service.cache.semantic_embed import LocalEmbedder
from service.cache.semantic_guard import compare, difference, read
from service.cache.semantic_index import Vector
from service.providers.base import CanonicalRequest, CanonicalResponse, Message, Text, Usage
from service.storage.redis_link import Address, RedisLink, pack
from service.telemetry.metrics import Metrics
from tests.benchmarks.cost import Row, interleaved, once
from tests.benchmarks.load import post
from tests.benchmarks.report import Report
from tests.benchmarks.semantic_pairs import OTHER, SAME
from tests.benchmarks.stack import Make, Stack

MANY = 100_000
THRESHOLD = 0.92
ASKED = 500
# (as it was asked before, in other words)
FRAMES = (
    ("How do I {} my {} in {}?", "How can I {} my {} in {}?"),
    ("What is the {} of the {} for {}?", "What's the {} of the {} for {}?"),
    ("Why does {} {} cause {}?", "why does {} {} cause {}"),
    ("Explain {} {} with {}.", "Please explain {} {} with {}"),
    ("Is {} {} better than {}?", "is the {} {} better than {}"),
    ("Where can I find {} {} and {}?", "Where do I find {} {} and {}?"),
    ("Tell me about {} {} for {}", "tell me about the {} {} for {}."),
)
WORDS = tuple(
    """
    account address airport alarm animal answer apple article bank basket battery beach bicycle bill
    bottle bread bridge budget building button cable camera candle carpet castle chair channel cheese
    chicken church city clock cloud coat coffee compass concert contract cookie copper cotton country
    course cream crystal curtain customer database desert dinner doctor dollar dragon drawer dress
    driver eagle elbow engine envelope farmer feather festival field finger flag flower forest fountain
    friend fruit garden garlic ghost glass glove grass guitar hammer harbour hotel honey horse hospital
    insurance invoice island jacket jewel journal jungle kettle keyboard kitchen knife ladder lake lamp
    leather lemon letter library lion magnet market medicine metal microphone mirror monkey mountain
    museum mushroom needle network novel ocean office onion orange oven package palace panel paper
    passport password pencil pepper piano picture pillow pirate planet plastic poem pocket police potato
    printer prison profile rabbit radio railway recipe refund river robot rocket saddle salad sandwich
    school scissors server shadow shampoo shirt shoulder silver sister soap software soldier spider
    stadium station statue stomach stone storm student subscription sugar suitcase sunflower sweater
    table teacher telescope temple theatre ticket tiger tobacco tomato tower tractor traffic train
    treasure tunnel turtle umbrella uncle vegetable vehicle village violin volcano wallet warehouse
    washing water weapon wedding whale wheel window winter wizard wool
    """.split()  # noqa: SIM905 - read as words, not as a column
)


def semantic(stack: Stack, report: Report) -> None:
    """Claims of the part `semantic`."""
    uvloop.run(_thresholds(report))
    uvloop.run(_looks(stack.redis, report))
    _requests(stack, report)


# --- thresholds


async def _thresholds(report: Report) -> None:
    """What the local model and the guard let through at some thresholds, and how long the model takes."""
    embedder = LocalEmbedder()

    async def judged(pairs: Sequence[tuple[str, str]]) -> list[tuple[float, bool]]:
        vectors = [(await embedder.embed(one), await embedder.embed(other)) for one, other in pairs]
        cosines = [float(one @ other) for one, other in vectors]
        return [(cosine, not difference(*pair)) for cosine, pair in zip(cosines, pairs, strict=True)]

    same, others = await judged(SAME), await judged(OTHER)
    for threshold in (0.85, 0.88, 0.9, 0.92, 0.95):
        right = sum(passes and cosine >= threshold for cosine, passes in same)
        wrong = sum(passes and cosine >= threshold for cosine, passes in others)
        unguarded = sum(cosine >= threshold for cosine, _ in others)
        value = (
            f"same {right} of {len(same)}, different {wrong} of {len(others)} ({unguarded} without the guard)"
        )
        report.claim("semantic", f"answered at {threshold}", value)
    for text in (SAME[0][0], "How do I reset it? " * 52):
        began = time.process_time()
        for _ in range(200):
            await embedder.embed(text[:1000])
        value = f"{(time.process_time() - began) / 200 * 1e6:.0f} µs"
        report.claim("semantic", f"a local vector of {len(text[:1000])} characters", value)


# --- looks


async def _looks(url: str, report: Report) -> None:
    link = RedisLink(Address(url), 60)
    await link.start()
    try:
        embedder = LocalEmbedder()
        cache = SemanticCache(embedder, link, Metrics(), threshold=THRESHOLD, entries=MANY)
        chosen = random.Random(1)
        many = [_question(chosen) for _ in range(MANY)]
        texts = [before for before, _ in many]
        vectors = np.stack([await embedder.embed(text) for text in texts])
        await _fill(cache, link, "few", texts[:10], vectors[:10])
        await _fill(cache, link, "many", texts, vectors)
        few = _ask(cache, "few", [reworded for _, reworded in many[:10]])
        full = _ask(cache, "many", [reworded for _, reworded in chosen.sample(many, ASKED)])
        costs = [(await few(), await full()) for _ in range(5)]
        of_few, of_many = (statistics.median(column) for column in zip(*costs, strict=True))
        ratio = statistics.median([more / less for less, more in costs])
        value = f"{of_many:.0f} against {of_few:.0f} µs: {ratio:.2f} ×"
        report.claim(
            "semantic", "CPU of a look, 100,000 against 10 questions", value, "≤ 1.5 ×", ratio <= 1.5
        )
        await _recall(cache, embedder, many, vectors, chosen, report)
        key = (await link.call("KEYS", "sa:{many}:s:*"))[0]
        size = await link.call("MEMORY", "USAGE", key, "SAMPLES", 0)
        report.claim("semantic", "Valkey's memory for 100,000 questions", f"{size / 1e6:.0f} MB")
        await link.call("FLUSHALL")
    finally:
        await link.close()


def _question(chosen: random.Random) -> tuple[str, str]:
    before, reworded = chosen.choice(FRAMES)
    words = chosen.sample(WORDS, 3)
    return before.format(*words), reworded.format(*words)


def _request(text: str) -> CanonicalRequest:
    return CanonicalRequest(model="m", messages=(Message("user", (Text(text),)),), temperature=0)


async def _fill(
    cache: SemanticCache, link: RedisLink, account: str, texts: Sequence[str], vectors: Vector
) -> None:
    answer = CanonicalResponse(id="x", model="m", parts=(Text("yes"),), finish="stop", usage=Usage(1, 1))
    data = exact.pack_entry(Entry(answer, "p", "m", 0.0))
    for number, (text, vector) in enumerate(zip(texts, vectors, strict=True)):
        request = _request(text)
        key = exact.cache_key(Principal("k", account, "", "key", frozenset()), request)
        link.post(pack(("SET", key, data, "EX", 3600)))
        cache.keep(cache.place(account, request, text, vector), key, 3600)
        if number % 500 == 0:
            await link.call("PING")


def _ask(cache: SemanticCache, account: str, texts: Sequence[str]) -> Callable[[], Awaitable[float]]:
    async def once() -> float:
        """CPU microseconds of a look in this process."""
        began = time.process_time()
        for number in range(ASKED):
            await cache.look(account, _request(texts[number % len(texts)]), "k")
        return (time.process_time() - began) / ASKED * 1e6

    return once


async def _recall(
    cache: SemanticCache,
    embedder: LocalEmbedder,
    many: Sequence[tuple[str, str]],
    matrix: Vector,
    chosen: random.Random,
    report: Report,
) -> None:
    """Of the questions that brute force and guard find an answer to, how many has the index."""
    expected = found = 0
    for _, reworded in chosen.sample(list(many), ASKED):
        vector = await embedder.embed(reworded)
        if not _brute(matrix, vector, reworded, many):
            continue
        expected += 1
        look = await cache.look("many", _request(reworded), "k")
        found += look is not None and look.entry is not None
    share = found / expected
    value = f"{share:.3f} of {expected} that brute force finds at {THRESHOLD}"
    report.claim("semantic", "recall among 100,000", value, "≥ 0.95", share >= 0.95)


def _brute(matrix: Vector, vector: Vector, text: str, many: Sequence[tuple[str, str]]) -> bool:
    cosines = matrix @ vector
    near = np.nonzero(cosines >= THRESHOLD)[0]
    asked = read(text)
    return any(not compare(asked, read(many[place][0])) for place in near)


# --- requests


def _requests(stack: Stack, report: Report) -> None:
    on = stack.another(SEMANTIC_CACHE_EMBEDDER="local")
    new = random.Random(2)
    known = [_question(new) for _ in range(50)]

    def fresh(number: int) -> str:
        return " ".join([_question(new)[0], *new.sample(WORDS, 4)])

    once(Row("", on, _chat(stack.key, lambda number: known[number % 50][0]), len(known), 1))
    rows = [
        Row("semantic off: cache miss", stack.gateway, _chat(stack.key, fresh), 400),
        Row("semantic on: cache miss", on, _chat(stack.key, fresh), 400),
        Row("semantic on: reworded question", on, _chat(stack.key, lambda n: known[n % 50][1]), 400),
        Row("semantic on: the same question", on, _chat(stack.key, lambda n: known[n % 50][0]), 400),
    ]
    costs = interleaved(rows, 5)
    report.costs += costs
    for less, more in pairwise(costs[:2]):
        value = f"{more.median - less.median:.0f} µs ({more.median:.0f} − {less.median:.0f})"
        report.claim("semantic", "added to a cache miss", value)
    added = on.memory() - stack.gateway.memory()
    report.claim("memory", "RSS that the semantic cache adds", f"{added:.0f} MB")
    on.stop()


def _chat(key: str, text: Callable[[int], str]) -> Make:
    def make(number: int) -> bytes:
        body = {"model": "bench", "temperature": 0, "messages": [{"role": "user", "content": text(number)}]}
        return post("/v1/chat/completions", json.dumps(body).encode(), key, "")

    return make
