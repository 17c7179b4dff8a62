"""Go."""

from __future__ import annotations

from typing import Final

from service.agents.code.languages import Grammar
from service.agents.code.rules.rule import (
    Captures,
    Rule,
    built_sql,
    in_loop,
    not_literal,
    secret,
    string_in_loop,
)
from service.agents.code.structure import text


def _formatted_sql(captures: Captures, grammar: Grammar) -> bool:
    """`@value` is `fmt.Sprintf` of an SQL statement."""
    call = captures["value"][0]
    arguments = call.child_by_field_name("arguments")
    if text(call.child_by_field_name("function")) != "fmt.Sprintf" or arguments is None:
        return False
    return len(arguments.named_children) > 1 and built_sql({"value": [arguments]}, grammar)


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "command-injection", "security", "high",
        """(call_expression function: (selector_expression) @f arguments: (argument_list . (_) @sh . (_) @c . (_) @value)
           (#any-of? @f "exec.Command") (#match? @sh "(ba|z)?sh\\"$") (#eq? @c "\\"-c\\"")) @at""",
        "A shell runs a command that is put together from values.", "Call the program with its arguments.",
        78, not_literal,
    ),
    Rule(
        "sql-injection", "security", "high",
        "(call_expression arguments: (argument_list (binary_expression) @value)) @at",
        "SQL is put together from values.", "Pass the values as parameters ($1, ?).", 89, built_sql,
    ),
    Rule(
        "sql-injection", "security", "high",
        """(call_expression function: (selector_expression field: (_) @f) arguments: (argument_list (call_expression) @value)
           (#match? @f "^(Query|Exec|QueryRow|Prepare)")) @at""",
        "SQL is put together by Sprintf.", "Pass the values as parameters ($1, ?).", 89, _formatted_sql,
    ),
    Rule(
        "tls-verification-off", "security", "high",
        """(keyed_element (literal_element (identifier) @k) (literal_element (true))
           (#eq? @k "InsecureSkipVerify")) @at""",
        "Certificates are not checked.", "Put the right CA into RootCAs.", 295,
    ),
    Rule(
        "weak-hash", "security", "medium",
        """(call_expression function: (selector_expression) @f
           (#any-of? @f "md5.New" "md5.Sum" "sha1.New" "sha1.Sum")) @at""",
        "MD5 and SHA-1 are broken.", "Use sha256; for passwords bcrypt or argon2.", 327,
    ),
    Rule(
        "hard-coded-secret", "security", "high",
        """[(short_var_declaration left: (expression_list . (identifier) @name)
              right: (expression_list . (interpreted_string_literal) @value))
            (const_spec name: (identifier) @name value: (expression_list . (interpreted_string_literal) @value))
            (var_spec name: (identifier) @name value: (expression_list . (interpreted_string_literal) @value))] @at""",
        "A secret stands in the source.", "Read it from the environment or a secret store, and rotate this one.",
        798, secret,
    ),
    Rule(
        "defer-in-loop", "performance", "medium", "(defer_statement) @at",
        "Deferred calls pile up until the function returns.", "Move the body of the loop into a function.",
        0, in_loop,
    ),
    Rule(
        "compile-in-loop", "performance", "medium",
        """(call_expression function: (selector_expression) @f
           (#any-of? @f "regexp.MustCompile" "regexp.Compile")) @at""",
        "The expression is compiled again in every turn.", "Compile it once, as a package variable.", 0, in_loop,
    ),
    Rule(
        "string-in-loop", "performance", "medium",
        '(assignment_statement left: (expression_list . (identifier) @name) operator: "+=") @at',
        "Each turn copies the whole string.", "Use a strings.Builder.", 0, string_in_loop,
    ),
    Rule(
        "ignored-error", "smell", "medium",
        """([(short_var_declaration left: (expression_list (identifier) @e .) right: (expression_list . (call_expression) .))
            (assignment_statement left: (expression_list (identifier) @e .) right: (expression_list . (call_expression) .))] @at
           (#eq? @e "_"))""",
        "The error of this call is thrown away.", "Check it, or say in a comment why it cannot matter.", 252,
    ),
    Rule(
        "empty-error-check", "smell", "medium",
        """(if_statement condition: (binary_expression left: (identifier) @e operator: "!=" right: (nil))
           consequence: (block . "{" . "}") (#match? @e "^err")) @at""",
        "The error is checked and then ignored.", "Return it with its context.", 390,
    ),
    Rule(
        "panic", "smell", "low",
        '(call_expression function: (identifier) @f (#eq? @f "panic")) @at',
        "A panic takes the whole program down.", "Return an error.",
    ),
)  # fmt: skip
