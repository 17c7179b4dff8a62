"""Rust."""

from __future__ import annotations

from typing import Final

from service.agents.code.languages import Grammar
from service.agents.code.rules.rule import Captures, Rule, in_loop, secret
from service.agents.code.structure import text


def _formatted_sql(captures: Captures, grammar: Grammar) -> bool:
    """`@tokens` are the arguments of `format!`: an SQL statement with a place for a value."""
    words = text(captures["tokens"][0]).lstrip('( \n"r#').lower()
    starts = ("select ", "insert into ", "update ", "delete from ")
    return words.startswith(starts) and "{" in words


def _shell(captures: Captures, grammar: Grammar) -> bool:
    """The chain of calls gives a shell `-c` something computed."""
    chain = captures["at"][0]
    while chain.parent is not None and chain.parent.type in ("call_expression", "field_expression"):
        chain = chain.parent
    source = text(chain)
    return '"-c"' in source and ("format!" in source or "arg(&" in source)


RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "unsafe", "security", "medium", "(unsafe_block) @at",
        "The compiler checks neither memory nor races in here.",
        "Keep it minimal, behind a safe function, with a SAFETY comment.", 119,
    ),
    Rule(
        "transmute", "security", "high",
        """(call_expression function: [(scoped_identifier name: (identifier) @f) (identifier) @f
             (generic_function function: [(scoped_identifier name: (identifier) @f) (identifier) @f])]
           (#eq? @f "transmute")) @at""",
        "transmute reinterprets bits without any check.", "Use from_ne_bytes, a cast, or bytemuck.", 843,
    ),
    Rule(
        "command-injection", "security", "high",
        """(call_expression function: (scoped_identifier) @f arguments: (arguments . (string_literal) @sh)
           (#match? @f "Command::new$") (#match? @sh "sh\\"$")) @at""",
        "A shell runs a command that is put together from values.", "Call the program with .arg() for each value.",
        78, _shell,
    ),
    Rule(
        "sql-injection", "security", "high",
        '(macro_invocation macro: (identifier) @m (token_tree) @tokens (#eq? @m "format")) @at',
        "SQL is put together by format!.", "Bind the values ($1, ?).", 89, _formatted_sql,
    ),
    Rule(
        "tls-verification-off", "security", "high",
        """(call_expression function: (field_expression field: (field_identifier) @f)
           arguments: (arguments . (boolean_literal) @v)
           (#any-of? @f "danger_accept_invalid_certs" "danger_accept_invalid_hostnames") (#eq? @v "true")) @at""",
        "Certificates are not checked.", "Add the right root certificate.", 295,
    ),
    Rule(
        "weak-hash", "security", "medium",
        '(call_expression function: (scoped_identifier) @f (#match? @f "(?i)(md5|sha1)::(new|compute|digest)$")) @at',
        "MD5 and SHA-1 are broken.", "Use sha2; for passwords argon2.", 327,
    ),
    Rule(
        "hard-coded-secret", "security", "high",
        """[(let_declaration pattern: (identifier) @name value: (string_literal) @value)
            (const_item name: (identifier) @name value: (string_literal) @value)
            (static_item name: (identifier) @name value: (string_literal) @value)] @at""",
        "A secret stands in the source.", "Read it from the environment or a secret store, and rotate this one.",
        798, secret,
    ),
    Rule(
        "clone-in-loop", "performance", "low",
        """(call_expression function: (field_expression field: (field_identifier) @f)
           (#eq? @f "clone")) @at""",
        "Each turn makes a copy.", "Borrow, or use Rc/Arc.", 0, in_loop,
    ),
    Rule(
        "compile-in-loop", "performance", "medium",
        '(call_expression function: (scoped_identifier) @f (#match? @f "Regex::new$")) @at',
        "The expression is compiled again in every turn.", "Compile it once (LazyLock).", 0, in_loop,
    ),
    Rule(
        "unwrap", "smell", "medium",
        """(call_expression function: (field_expression field: (field_identifier) @f)
           (#any-of? @f "unwrap" "expect")) @at""",
        "This panics when there is no value.", "Use ?, match, or unwrap_or.", 248,
    ),
    Rule(
        "unfinished", "smell", "medium",
        '(macro_invocation macro: (identifier) @m (#any-of? @m "todo" "unimplemented")) @at',
        "This panics when it is reached.", "Finish it, or return an error.",
    ),
)  # fmt: skip
