"""Java."""

from __future__ import annotations

from typing import Final

from service.agents.code.rules.rule import (
    Rule,
    built_sql,
    in_loop,
    not_literal,
    secret,
    string_in_loop,
)

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "command-injection", "security", "high",
        """(method_invocation object: (_) @o name: (identifier) @f arguments: (argument_list . (_) @value)
           (#match? @o "getRuntime\\\\(\\\\)|[rR]untime") (#eq? @f "exec")) @at""",
        "A command is put together from values.", "Use ProcessBuilder with a list of arguments.", 78, not_literal,
    ),
    Rule(
        "sql-injection", "security", "high",
        "(method_invocation arguments: (argument_list . (binary_expression) @value)) @at",
        "SQL is put together from values.", "Use a PreparedStatement with ? and set the parameters.", 89,
        built_sql,
    ),
    Rule(
        "weak-hash", "security", "medium",
        """(method_invocation object: (_) @o name: (identifier) @f arguments: (argument_list . (string_literal) @v)
           (#eq? @o "MessageDigest") (#eq? @f "getInstance") (#match? @v "(?i)md5|sha-?1\\"")) @at""",
        "MD5 and SHA-1 are broken.", "Use SHA-256; for passwords bcrypt, scrypt or Argon2.", 327,
    ),
    Rule(
        "weak-cipher", "security", "high",
        """(method_invocation object: (_) @o name: (identifier) @f arguments: (argument_list . (string_literal) @v)
           (#eq? @o "Cipher") (#eq? @f "getInstance") (#match? @v "(?i)\\"des|rc4|/ecb|\\"aes\\"")) @at""",
        "DES, RC4 and ECB do not hide the text (AES alone means ECB).", "Use AES/GCM/NoPadding.", 327,
    ),
    Rule(
        "unsafe-deserialization", "security", "high",
        '(method_invocation name: (identifier) @f (#any-of? @f "readObject" "readUnshared")) @at',
        "Deserialising foreign data can run foreign code.", "Read JSON into a type, or set an ObjectInputFilter.",
        502,
    ),
    Rule(
        "hard-coded-secret", "security", "high",
        """[(variable_declarator name: (identifier) @name value: (string_literal) @value)
            (assignment_expression left: (_) @name right: (string_literal) @value)] @at""",
        "A secret stands in the source.", "Read it from the environment or a secret store, and rotate this one.",
        798, secret,
    ),
    Rule(
        "string-in-loop", "performance", "medium",
        '(assignment_expression left: (identifier) @name operator: "+=" right: (_)) @at',
        "Each turn copies the whole string.", "Use a StringBuilder.", 0, string_in_loop,
    ),
    Rule(
        "compile-in-loop", "performance", "medium",
        """(method_invocation object: (_) @o name: (identifier) @f
           (#eq? @o "Pattern") (#eq? @f "compile")) @at""",
        "The pattern is compiled again in every turn.", "Compile it once, as a static final field.", 0, in_loop,
    ),
    Rule(
        "empty-catch", "smell", "medium",
        '(catch_clause body: (block . "{" . "}")) @at',
        "Errors are swallowed.", "Handle the exception, or declare it.", 390,
    ),
    Rule(
        "broad-catch", "smell", "low",
        """(catch_formal_parameter (catch_type (type_identifier) @t
           (#any-of? @t "Exception" "Throwable" "RuntimeException"))) @at""",
        "This also catches what nobody thought of.", "Catch the exceptions that you can handle.", 396,
    ),
    Rule(
        "string-identity", "smell", "high",
        '(binary_expression operator: ["==" "!="] right: (string_literal)) @at',
        "== compares references, not text.", "Use equals().", 597,
    ),
    Rule(
        "print-stack-trace", "smell", "low",
        '(method_invocation name: (identifier) @f (#eq? @f "printStackTrace")) @at',
        "The trace goes to standard error and nowhere else.", "Log it with the logger, and its cause.", 209,
    ),
)  # fmt: skip
