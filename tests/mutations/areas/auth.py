"""Who asks: keys, our tokens, an OpenID provider's, and how fast their end is known everywhere."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

KEYS: Final = "tests/service/auth/test_keys.py::"
KNOWN: Final = "tests/service/auth/test_authenticator.py::"
TOKENS: Final = "tests/service/auth/test_tokens.py::"
CHANGES: Final = "tests/service/auth/test_revocations.py::"
ADMIN: Final = "tests/service/api/test_admin.py::"

ROWS: Final = (
    Mutation(
        "keys are compared in constant time",
        "service/auth/keys.py",
        'if hmac.compare_digest(row["hash"], wanted):',
        'if row["hash"] == wanted:',
        (KEYS + "test_hashes_are_compared_in_constant_time",),
    ),
    Mutation(
        "the whole key counts, not its prefix",
        "service/auth/keys.py",
        'if hmac.compare_digest(row["hash"], wanted):',
        "if row:",
        (KEYS + "test_a_key_finds_its_principal_and_a_changed_one_does_not",),
    ),
    Mutation(
        "only the hash of a key is stored",
        "service/auth/keys.py",
        "            digest(key),\n            permissions,",
        "            key.encode(),\n            permissions,",
        (KEYS + "test_the_key_itself_is_nowhere_in_the_table",),
    ),
    Mutation(
        "keys have 256 random bits",
        "service/auth/keys.py",
        "START + secrets.token_urlsafe(32)",
        'START + secrets.token_urlsafe(16) + "A" * 21',
        (KEYS + "test_keys_have_256_random_bits_and_a_known_form",),
    ),
    Mutation(
        "an expired key is unknown",
        "service/auth/keys.py",
        'from api_keys where prefix = $1 and revoked_at is null "  # noqa: S608\n    "and (expires_at is null or expires_at > now())"',
        'from api_keys where prefix = $1 and revoked_at is null "  # noqa: S608\n    ""',
        (KEYS + "test_an_expired_key_is_unknown",),
    ),
    Mutation(
        "a revoked key is unknown",
        "service/auth/keys.py",
        "from api_keys where prefix = $1 and revoked_at is null ",
        "from api_keys where prefix = $1 ",
        (ADMIN + "test_a_revoked_key_stops_working_on_every_node[redis]",),
    ),
    Mutation(
        "expiry holds also for what is remembered",
        "service/auth/authenticator.py",
        "if now >= known.expires or age",
        "if age",
        (KNOWN + "test_expiry_holds_also_for_what_is_remembered",),
    ),
    Mutation(
        "without the store, memory is bounded",
        "service/auth/authenticator.py",
        " or age > self._stale + self._fresh:",
        ":",
        (KNOWN + "test_memory_without_the_store_is_bounded",),
    ),
    Mutation(
        "a wrong key is not looked up again at once",
        "service/auth/authenticator.py",
        "            self._refused[identity] = (time.monotonic(), str(error))\n",
        "",
        (KNOWN + "test_a_wrong_key_is_refused_and_not_asked_for_again_at_once",),
    ),
    Mutation(
        "a revocation is heard here at once",
        "service/auth/revocations.py",
        "        self._forget({key_id: None})\n",
        "",
        (ADMIN + "test_a_revoked_key_stops_working_on_every_node[postgres alone]",),
    ),
    Mutation(
        "a revocation is heard on the other nodes through Redis",
        "service/auth/revocations.py",
        '                await self._link.call("PUBLISH", CHANNEL, key_id)\n',
        "                pass\n",
        (ADMIN + "test_a_revoked_key_stops_working_on_every_node[redis]",),
    ),
    Mutation(
        "a revocation is heard on the other nodes without Redis",
        "service/auth/revocations.py",
        "            if not hears or time.monotonic() - looked >= HEARING_SECONDS:\n",
        "            if False:\n",
        (ADMIN + "test_a_revoked_key_stops_working_on_every_node[postgres alone]",),
    ),
    Mutation(
        "a key that changed meanwhile is forgotten",
        "service/auth/revocations.py",
        "        self._forget(changes)\n",
        "",
        (CHANGES + "test_a_key_that_was_revoked_or_rotated_meanwhile_is_forgotten",),
    ),
    Mutation(
        "a rotated key works on for its overlap",
        "service/auth/keys.py",
        "now() + $2 * interval '1 second')",
        "now() + 0 * $2 * interval '1 second')",
        (ADMIN + "test_rotation_overlaps_and_keeps_the_account[redis]",),
    ),
    Mutation(
        "a rotated key ends after its overlap",
        "service/auth/keys.py",
        "least(coalesce(expires_at, 'infinity'), now() + $2 * interval '1 second')",
        "greatest(coalesce(expires_at, 'infinity'), now() + $2 * interval '1 second')",
        (ADMIN + "test_rotation_overlaps_and_keeps_the_account[redis]",),
    ),
    Mutation(
        "a new key keeps the account of the one it replaces",
        "service/auth/keys.py",
        '            account=old["account"],\n',
        "",
        (ADMIN + "test_rotation_overlaps_and_keeps_the_account[redis]",),
    ),
    Mutation(
        "only admins administer",
        "service/api/admin.py",
        'await self._door.enter(exchange, "admin")\n        await answer(exchange, {"object": "list"',
        'await self._door.enter(exchange, "read")\n        await answer(exchange, {"object": "list"',
        (ADMIN + "test_only_admins_administer[redis]",),
    ),
    Mutation(
        "too many failures of an address are 429",
        "service/api/gate.py",
        "        if verdict[0]:\n",
        "        if False:\n",
        (ADMIN + "test_too_many_failures_are_429_and_good_keys_do_not_notice",),
    ),
    Mutation(
        "failed attempts are audit events",
        "service/api/gate.py",
        '        self._note(exchange, kind, "", reason=reason)\n',
        "",
        (ADMIN + "test_the_report_shows_failures_by_address_and_what_was_done[redis]",),
    ),
    # --- our tokens
    Mutation(
        "JWT: the issuer counts",
        "service/auth/tokens.py",
        "                issuer=self._issuer,\n",
        "",
        (TOKENS + "test_what_does_not_hold_is_refused",),
    ),
    Mutation(
        "JWT: the audience counts",
        "service/auth/tokens.py",
        "                audience=self._audience,\n                issuer=self._issuer,\n"
        '                options={"require"',
        '                issuer=self._issuer,\n                options={"verify_aud": False, "require"',
        (TOKENS + "test_what_does_not_hold_is_refused",),
    ),
    Mutation(
        "JWT: a token ends",
        "service/auth/tokens.py",
        'options={"require": ["exp", "iat",',
        'options={"verify_exp": False, "require": ["exp", "iat",',
        (TOKENS + "test_what_does_not_hold_is_refused",),
    ),
    Mutation(
        "JWT: a refresh token gives no access",
        "service/auth/tokens.py",
        'if claims.get("use") != kind:',
        "if False:",
        (TOKENS + "test_what_does_not_hold_is_refused",),
    ),
    Mutation(
        "JWT: the kid chooses the key",
        "service/auth/tokens.py",
        "key = self._keys.get(kid) if isinstance(kid, str) else None",
        "key = self._keys[self._signing]",
        (TOKENS + "test_keys_rotate_by_kid",),
    ),
    Mutation(
        "JWT: the first key signs",
        "service/auth/tokens.py",
        'keys[0][0] if keys else ""',
        'keys[-1][0] if keys else ""',
        (TOKENS + "test_keys_rotate_by_kid",),
    ),
    Mutation(
        "JWT: weak secrets are refused",
        "service/auth/tokens.py",
        "if len(secret.encode()) < LEAST_BYTES:",
        "if not secret:",
        (TOKENS + "test_weak_or_broken_keys_are_refused_without_showing_them",),
    ),
    Mutation(
        "JWT: access lasts an hour",
        "service/auth/tokens.py",
        "ACCESS_SECONDS: Final = 3600",
        "ACCESS_SECONDS: Final = 36_000",
        (TOKENS + "test_a_token_says_what_was_signed",),
    ),
    Mutation(
        "a refresh token works once",
        "service/auth/sessions.py",
        "where id = $1 and used_at is null ",
        "where id = $1 ",
        (ADMIN + "test_a_refresh_token_works_once_and_its_theft_ends_the_family[redis]",),
    ),
    Mutation(
        "a refresh token used twice ends its family",
        "service/auth/sessions.py",
        '"update refresh_tokens set revoked_at = coalesce(revoked_at, now()) where family = "',
        '"update refresh_tokens set revoked_at = null where family = "',
        (ADMIN + "test_a_refresh_token_works_once_and_its_theft_ends_the_family[redis]",),
    ),
    Mutation(
        "a revoked token ends",
        "service/auth/credentials.py",
        "if key is None or await self._tokens.revoked(claims.id):",
        "if key is None:",
        (ADMIN + "test_a_token_ends_with_its_key_and_by_itself[redis]",),
    ),
    Mutation(
        "a token never stands for more than it was asked for",
        "service/auth/credentials.py",
        "frozenset([one for one in claims.permissions if key.may(one)])",
        "key.permissions",
        (ADMIN + "test_tokens_stand_for_a_key_and_never_for_more[redis]",),
    ),
    # --- an OpenID provider's
    Mutation(
        "OIDC: the issuer counts",
        "service/auth/oidc.py",
        "                issuer=self.settings.issuer,\n",
        "",
        (TOKENS + "test_an_openid_token_that_does_not_hold_is_refused",),
    ),
    Mutation(
        "OIDC: the audience counts",
        "service/auth/oidc.py",
        "                audience=self.settings.audience,\n                issuer=self.settings.issuer,\n"
        '                options={"require"',
        '                issuer=self.settings.issuer,\n                options={"verify_aud": False, "require"',
        (TOKENS + "test_an_openid_token_that_does_not_hold_is_refused",),
    ),
    Mutation(
        "OIDC: a public key is not taken for a secret",
        "service/auth/oidc.py",
        'ALGORITHMS: Final = ("RS256", "ES256")',
        'ALGORITHMS: Final = ("RS256", "ES256", "HS256")',
        (TOKENS + "test_a_public_key_is_not_taken_for_a_secret",),
    ),
    Mutation(
        "OIDC: made-up kids do not hammer the provider",
        "service/auth/oidc.py",
        " and now - self._tried > LEAST_BETWEEN:",
        ":",
        (TOKENS + "test_made_up_kids_do_not_hammer_the_provider_and_a_rotation_is_found",),
    ),
    Mutation(
        "OIDC: an unknown kid finds a rotation",
        "service/auth/oidc.py",
        "if (stale or kid not in self._keys) and",
        "if stale and",
        (TOKENS + "test_made_up_kids_do_not_hammer_the_provider_and_a_rotation_is_found",),
    ),
    Mutation(
        "OIDC: keys stay good while the provider is away",
        "service/auth/oidc.py",
        "            return  # keys that were good",
        "            self._keys = {}  # keys that were good",
        (TOKENS + "test_known_keys_survive_the_providers_absence_and_unknown_ones_are_nobodys_fault",),
    ),
    Mutation(
        "OIDC: only our permissions are taken from claims",
        "service/auth/oidc.py",
        " for one in listed) & frozenset(PERMISSIONS)",
        " for one in listed)",
        (TOKENS + "test_claims_become_permissions",),
    ),
    Mutation(
        "a revocation that its node could not tell is seen all the same",
        "service/auth/revocations.py",
        "            if not hears or time.monotonic() - looked >= HEARING_SECONDS:\n",
        "            if not hears:\n",
        (CHANGES + "test_a_key_is_forgotten_though_whoever_ended_it_could_not_say_so",),
    ),
)  # fmt: skip
