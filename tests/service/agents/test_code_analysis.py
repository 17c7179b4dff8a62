"""The code analysis agent against planted problems, and against code that tries to hurt it."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path

import pytest

from service.agents.base import AgentRefused
from service.agents.code.agent import MOST_LINES, MOST_SNIPPETS, CodeAnalysisAgent
from service.agents.code.analyse import analyse
from service.agents.code.findings import Analysis
from service.agents.code.languages import by_tag, guess
from service.agents.code.snippets import read

CORPUS = Path(__file__).parent / "corpus"
FILES = sorted(CORPUS.glob("*.txt"))
TAGS = {"py": "python", "js": "javascript", "java": "java", "go": "go", "rs": "rust", "c": "c"}

# What docs/agents.md promises. The corpus holds problems that need data flow, which the agent does not do.
PRECISION = 0.95
RECALL = 0.90


def expected(text: str) -> set[tuple[int, str]]:
    return {
        (number, rule)
        for number, line in enumerate(text.splitlines(), 1)
        if (found := re.search(r"expect: (.+)$", line))
        for rule in found[1].split()
    }


def run(code: str, tag: str) -> Analysis:
    grammar = by_tag(tag)
    assert grammar is not None
    return asyncio.run(analyse(code, grammar))


def outcome(path: Path) -> tuple[set[tuple[int, str]], set[tuple[int, str]]]:
    text = path.read_text()
    found = run(text, TAGS[path.name.split(".")[1]]).findings
    return expected(text), {(one.line, one.rule) for one in found}


def test_precision_and_recall_over_six_languages() -> None:
    right = wrong = missed = 0
    for path in FILES:
        planted, found = outcome(path)
        right += len(planted & found)
        wrong += len(found - planted)
        missed += len(planted - found)
    assert len(FILES) == 6
    assert right / (right + wrong) >= PRECISION
    assert right / (right + missed) >= RECALL


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_no_language_is_carried_by_the_others(path: Path) -> None:
    planted, found = outcome(path)
    assert len(planted & found) / len(planted) >= 0.8, sorted(planted - found)
    assert len(found - planted) <= 1, sorted(found - planted)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("python", "def f(a, b):\n    if a and b:\n        for x in b:\n            pass\n    elif a:\n        return 1\n"),
        ("javascript", "const f = (a, b) => { if (a && b) { for (;;) {} } else if (a) { return 1 } }"),
        ("typescript", "const f = (a: A, b: B) => { if (a && b) { for (;;) {} } else if (a) { return 1 } }"),
        ("java", "class A { int f(int a, int b) { if (a>0 && b>0) { for (;;) {} } else if (a>0) { return 1; } } }"),
        ("go", "package p\nfunc f(a, b int) int { if a>0 && b>0 { for { } } else if a>0 { return 1 }\nreturn 0 }"),
        ("rust", "fn f(a: i32, b: i32) { if a>0 && b>0 { loop {} } else if a>0 { return; } }"),
        ("c", "int f(int a, int b) { if (a && b) { for (;;) {} } else if (a) { return 1; } return 0; }"),
    ],
)  # fmt: skip
def test_the_same_function_measures_the_same_in_every_language(tag: str, code: str) -> None:
    (function,) = run(code, tag).functions
    assert (function.name, function.complexity, function.nesting, function.parameters) == ("f", 5, 2, 2)


@pytest.mark.parametrize(
    ("tag", "code"),
    [
        ("javascript", "function f(a) { switch (a) { case 1: return 1; case 2: return 2; default: return 3 } }"),
        ("java", "class A { int f(int a) { switch (a) { case 1: return 1; case 2: return 2; default: return 3; } } }"),
        ("go", "package p\nfunc f(a int) int { switch a { case 1: return 1\ncase 2: return 2\ndefault: return 3 } }"),
        ("rust", "fn f(a: i32) -> i32 { match a { 1 => 1, 2 => 2, _ => 3 } }"),
        ("c", "int f(int a) { switch (a) { case 1: return 1; case 2: return 2; default: return 3; } }"),
    ],
)  # fmt: skip
def test_cases_decide_and_the_default_does_not(tag: str, code: str) -> None:
    assert run(code, tag).functions[0].complexity == 3


def test_an_inner_function_counts_for_itself_only() -> None:
    outer, inner = run("function o() { const i = () => { if (a) {} if (b) {} }; if (c) {} }", "js").functions
    assert (outer.complexity, inner.complexity) == (2, 3)


def test_structure_that_is_too_much_is_reported() -> None:
    branches = "".join(f"    if a == {number}:\n        return {number}\n" for number in range(25))
    found = run(f"def f(a, b, c, d, e, g, h):\n{branches}" + "    a = 1\n" * 30, "python").findings
    assert {one.rule for one in found} >= {"complex-function", "long-function", "many-parameters"}


def test_broken_code_is_reported_and_the_rest_still_analysed() -> None:
    found = run("function f() { return + ; }\n\nfunction g() { eval(x) }\n", "js").findings
    assert {"syntax-error", "eval"} <= {one.rule for one in found}


def test_code_is_never_executed(tmp_path: Path) -> None:
    marker = tmp_path / "ran"
    run(f"open({str(marker)!r}, 'w')\neval('open({str(marker)!r})')\n", "python")
    assert not marker.exists()


@pytest.mark.parametrize("tag", sorted(TAGS.values()))
def test_absurd_nesting_is_refused_and_garbage_does_no_harm(tag: str) -> None:
    with pytest.raises(AgentRefused, match=r"levels deep|cannot be read as"):
        run("(" * 20_000 + ")" * 20_000, tag)
    assert run("\x00\udcff{{{" * 500, tag).language == tag


def test_fences_are_found_as_markdown_means_them() -> None:
    message = (
        "> ```py\n> a = 1\n> ```\n\n- list\n\n  ~~~js\n  let a\n  ~~~\n\n`inline` and ```not a fence```\n"
    )
    assert [(one.tag, one.code) for one in read(message)[0]] == [("py", "a = 1\n"), ("js", "let a\n")]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_an_untagged_block_gets_its_language(path: Path) -> None:
    assert guess(path.read_text()).name == TAGS[path.name.split(".")[1]]


@pytest.mark.parametrize(
    ("message", "takes_it"),
    [
        ("Please review this:\n```python\nx = 1\n```", True),
        ("```go\npackage p\n```", True),
        ("What is a monad?", False),
        ("Explain this to me:\n```python\nx = 1\n```", False),
        ("Is there a bug in `x = 1`?", False),
    ],
)
def test_confidence_follows_what_is_asked(message: str, takes_it: bool) -> None:
    assert (CodeAnalysisAgent().can_handle(message) >= 0.5) is takes_it


@pytest.mark.parametrize(
    ("message", "says"),
    [
        ("no code", "between ``` fences"),
        ("```cobol\nSTOP RUN.\n```", "'cobol' is not known"),
        ("```js\na\n```\n" * (MOST_SNIPPETS + 1), f"send {MOST_SNIPPETS} at a time"),
        ("```js\n" + "a\n" * (MOST_LINES + 1) + "```", f"send {MOST_LINES:,} at a time"),
    ],
)
def test_what_is_outside_the_limits_is_refused_with_the_limit(message: str, says: str) -> None:
    with pytest.raises(AgentRefused, match=re.escape(says)):
        asyncio.run(CodeAnalysisAgent().process(message))


def test_the_report_says_the_same_in_markdown_and_data() -> None:
    reply = asyncio.run(CodeAnalysisAgent().process("```js\neval(x)\n```\n\n```python\nx = 1\n```"))
    assert reply.report["summary"]["by_kind"] == {"syntax": 0, "security": 1, "performance": 0, "smell": 0}
    assert "- **high** line 1: eval() runs whatever text it is given." in reply.text
    assert "## Snippet 2: python, 1 lines, 0 findings\n\nNothing stands out." in reply.text


def test_words_are_what_stands_beside_the_code() -> None:
    """Also where the code says the same; and code that asks for a review is no wish for one."""
    agent = CodeAnalysisAgent()
    assert agent.can_handle("please\nreview\n\n```py\nreview\n```") == 0.95
    assert agent.can_handle("what is this?\n\n```py\nreview = audit()\n```") == 0.3
    assert agent.can_handle("> <b>review</b>\n>\n> ```py\n> a\n> ```") == 0.95
