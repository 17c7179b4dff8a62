"""JavaScript and TypeScript."""

from __future__ import annotations

from typing import Final

from service.agents.code.rules.rule import Rule, built_sql, in_loop, not_literal, secret

RULES: Final[tuple[Rule, ...]] = (
    Rule(
        "eval", "security", "high",
        '(call_expression function: (identifier) @f (#eq? @f "eval") arguments: (arguments . (_) @value)) @at',
        "eval() runs whatever text it is given.", "Parse the data (JSON.parse) or look the function up by name.",
        95, not_literal,
    ),
    Rule(
        "eval", "security", "high",
        '(new_expression constructor: (identifier) @f (#eq? @f "Function")) @at',
        "new Function() compiles text at run time, like eval.", "Write the function, or a table of functions.",
        95,
    ),
    Rule(
        "eval", "security", "medium",
        """(call_expression function: (identifier) @f (#any-of? @f "setTimeout" "setInterval")
           arguments: (arguments . [(string) (template_string)])) @at""",
        "A timer that is given text evaluates it.", "Give it a function.", 95,
    ),
    Rule(
        "html-injection", "security", "high",
        """(assignment_expression left: (member_expression property: (property_identifier) @p
           (#any-of? @p "innerHTML" "outerHTML")) right: (_) @value) @at""",
        "Computed HTML becomes part of the page: cross-site scripting.",
        "Set textContent, or build nodes.", 79, not_literal,
    ),
    Rule(
        "html-injection", "security", "high",
        """(call_expression function: (member_expression object: (identifier) @o property: (property_identifier) @p)
           arguments: (arguments . (_) @value) (#eq? @o "document") (#any-of? @p "write" "writeln")) @at""",
        "document.write() puts computed HTML into the page.", "Build nodes instead.", 79, not_literal,
    ),
    Rule(
        "command-injection", "security", "high",
        """(call_expression function: [(identifier) @f (member_expression property: (property_identifier) @f)]
           arguments: (arguments . [(template_string) (binary_expression)] @value)
           (#any-of? @f "exec" "execSync")) @at""",
        "A shell command is put together from values.", "Use execFile or spawn with a list of arguments.",
        78, not_literal,
    ),
    Rule(
        "sql-injection", "security", "high",
        """(call_expression arguments: (arguments . [(template_string) (binary_expression)] @value)) @at""",
        "SQL is put together from values.", "Pass the values as parameters ($1, ?).", 89, built_sql,
    ),
    Rule(
        "hard-coded-secret", "security", "high",
        """[(variable_declarator name: (identifier) @name value: (string) @value)
            (pair key: (_) @name value: (string) @value)
            (assignment_expression left: (_) @name right: (string) @value)] @at""",
        "A secret stands in the source.", "Read it from the environment or a secret store, and rotate this one.",
        798, secret,
    ),
    Rule(
        "weak-hash", "security", "medium",
        """(call_expression function: (member_expression property: (property_identifier) @f)
           arguments: (arguments . (string) @value) (#eq? @f "createHash")
           (#match? @value "(?i)md5|sha-?1['\\"]")) @at""",
        "MD5 and SHA-1 are broken.", "Use SHA-256; for passwords scrypt or argon2.", 327,
    ),
    Rule(
        "tls-verification-off", "security", "high",
        """(pair key: (_) @k value: (false) (#match? @k "rejectUnauthorized")) @at""",
        "Certificates are not checked.", "Trust the right CA instead of everyone.", 295,
    ),
    Rule(
        "await-in-loop", "performance", "medium",
        "(await_expression) @at",
        "Each turn of the loop waits for the one before.", "Collect the promises and await Promise.all(…).",
        0, in_loop,
    ),
    Rule(
        "json-clone", "performance", "low",
        """(call_expression function: (member_expression object: (identifier) @o property: (_) @p)
           arguments: (arguments . (call_expression function: (member_expression object: (identifier) @i
           property: (_) @s))) (#eq? @o "JSON") (#eq? @p "parse") (#eq? @i "JSON") (#eq? @s "stringify")) @at""",
        "A copy by way of JSON is slow and loses dates and undefined.", "Use structuredClone().",
    ),
    Rule(
        "loose-equality", "smell", "low",
        """(binary_expression operator: ["==" "!="] right: (_) @r (#not-match? @r "^(null|undefined)$")) @at""",
        "== converts types before it compares.", "Use === and !==.",
    ),
    Rule(
        "empty-catch", "smell", "medium",
        "(catch_clause body: (statement_block . \"{\" . \"}\")) @at",
        "Errors are swallowed.", "Handle the error, or let it rise.", 390,
    ),
    Rule(
        "var", "smell", "low", "(variable_declaration) @at",
        "var is visible in the whole function.", "Use const, or let.",
    ),
)  # fmt: skip
