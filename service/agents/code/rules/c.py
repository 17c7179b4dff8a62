"""C."""

from __future__ import annotations

from typing import Final

from service.agents.code.languages import Grammar
from service.agents.code.rules.rule import Captures, Rule, not_literal, secret
from service.agents.code.structure import text


def _unbounded(captures: Captures, grammar: Grammar) -> bool:
    """The format of a scanf reads a word of any length."""
    return "%s" in text(captures["value"][0])


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "buffer-overflow", "security", "high",
        '(call_expression function: (identifier) @f (#any-of? @f "gets" "strcpy" "strcat" "sprintf" "vsprintf")) @at',
        "This writes without knowing how much room there is.", "Use fgets, snprintf, strlcpy: with the size.", 120,
    ),
    Rule(
        "buffer-overflow", "security", "high",
        """(call_expression function: (identifier) @f arguments: (argument_list (string_literal) @value)
           (#any-of? @f "scanf" "fscanf" "sscanf")) @at""",
        "%s reads a word of any length.", "Give a width one smaller than the buffer: %63s.", 120, _unbounded,
    ),
    Rule(
        "format-string", "security", "high",
        """(call_expression function: (identifier) @f arguments: (argument_list . (_) @value .)
           (#eq? @f "printf")) @at""",
        "The format itself comes from a value.", 'Use printf("%s", text).', 134, not_literal,
    ),
    Rule(
        "format-string", "security", "high",
        """(call_expression function: (identifier) @f arguments: (argument_list . (_) . (_) @value .)
           (#any-of? @f "fprintf" "syslog")) @at""",
        "The format itself comes from a value.", 'Use fprintf(file, "%s", text).', 134, not_literal,
    ),
    Rule(
        "command-injection", "security", "high",
        """(call_expression function: (identifier) @f arguments: (argument_list . (_) @value)
           (#any-of? @f "system" "popen")) @at""",
        "A shell runs a command from a value.", "Use execve with a list of arguments.", 78, not_literal,
    ),
    Rule(
        "weak-random", "security", "medium",
        '(call_expression function: (identifier) @f (#any-of? @f "rand" "random")) @at',
        "rand() can be predicted.", "Use getrandom() where it must not be guessed.", 338,
    ),
    Rule(
        "hard-coded-secret", "security", "high",
        """[(init_declarator declarator: (_) @name value: (string_literal) @value)
            (preproc_def name: (identifier) @name value: (preproc_arg) @value)] @at""",
        "A secret stands in the source.", "Read it from the environment or a secret store, and rotate this one.",
        798, secret,
    ),
    Rule(
        "strlen-in-condition", "performance", "medium",
        """((for_statement condition: (binary_expression right: (call_expression
           function: (identifier) @f))) @at (#eq? @f "strlen"))""",
        "The length is counted again in every turn.", "Count it once, before the loop.",
    ),
    Rule(
        "goto", "smell", "low", "(goto_statement) @at",
        "A jump hides the order of things.", "Keep it for one common clean-up label, or use functions.",
    ),
    Rule(
        "assignment-in-condition", "smell", "medium",
        "(if_statement condition: (parenthesized_expression . (assignment_expression) .)) @at",
        "= assigns; did you mean ==?", "Compare with ==, or assign on a line of its own.", 481,
    ),
)  # fmt: skip
