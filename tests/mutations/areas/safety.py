"""What a hostile client, browser or base URL cannot do; what is wrong is told with its field."""

from __future__ import annotations

from typing import Final

from tests.mutations.row import Mutation

CHAT: Final = "tests/service/api/test_chat.py::"
EDGE: Final = "tests/service/middleware/test_browsers_and_proxies.py::"
ORIGIN: Final = "tests/service/upstream/test_origin.py::"
TLS: Final = "tests/service/upstream/test_tls.py::"
DEADLINE: Final = "tests/service/api/test_deadline.py::"
OPENAI_FORMAT: Final = "tests/service/api/test_openai_format.py::test_what_does_not_fit_is_named"
SETTINGS: Final = "tests/service/test_settings.py::"

ROWS: Final = (
    Mutation(
        "a body over the limit is 413",
        "service/api/exchange.py",
        "        if self.unread > limit:\n            raise too_large(limit)\n",
        "",
        (CHAT + "test_a_body_over_the_limit_is_413",),
    ),
    Mutation(
        "a chunked body over the limit is 413 too",
        "service/api/exchange.py",
        "            if size > limit:\n                raise too_large(limit)\n",
        "",
        (CHAT + "test_a_body_that_grows_over_the_limit_is_413",),
    ),
    Mutation(
        "a body that does not come is 408",
        "service/api/exchange.py",
        "        self.body_deadline = time.monotonic() + seconds\n",
        "",
        (CHAT + "test_a_body_that_does_not_come_is_408",),
    ),
    Mutation(
        "a head over the limit is 431",
        "service/api/protocol.py",
        "            self._head_size += len(data)\n            if self._head_size > self.head_bytes:\n",
        "            if False:\n",
        (CHAT + "test_a_head_that_comes_in_pieces_has_the_limit_too",),
    ),
    Mutation(
        "a head in one piece has the limit too",
        "service/api/protocol.py",
        "if self._may_be_big and sum(",
        "if False and sum(",
        (CHAT + "test_heads_that_are_too_large_or_broken_are_refused",),
    ),
    Mutation(
        "a head that does not end is cut off",
        "service/api/protocol.py",
        "            self.due = time.monotonic() + self.head_seconds\n",
        "            pass\n",
        (CHAT + "test_a_head_that_does_not_end_is_cut_off",),
    ),
    Mutation(
        "an idle connection is closed",
        "service/api/protocol.py",
        "                self.due = time.monotonic() + self._idle_seconds\n",
        "",
        ("tests/service/api/test_protocol.py::test_an_idle_connection_is_closed_after_its_time",),
    ),
    Mutation(
        "a client that does not read holds its stream back",
        "service/api/protocol.py",
        "        self.full = self._loop.create_future()\n",
        "        pass\n",
        ("tests/service/api/test_protocol.py::test_a_client_that_does_not_read_holds_its_stream_back",),
    ),
    Mutation(
        "every call has the request's deadline",
        "service/api/pipeline.py",
        "exchange.started + self._seconds",
        "exchange.started + 1e9",
        (DEADLINE + "test_a_call_ends_with_the_requests_time",),
    ),
    Mutation(
        "browsers may call from configured origins only",
        "service/middleware/cors.py",
        "if origin is None or not (self._any or origin in self._origins):",
        "if origin is None:",
        (EDGE + "test_origins_preflights_and_security_headers",),
    ),
    Mutation(
        "without origins no browser may call",
        "service/middleware/cors.py",
        'self._any = "*" in origins',
        'self._any = not origins or "*" in origins',
        (EDGE + "test_without_origins_no_browser_may_call",),
    ),
    Mutation(
        "answers carry the security headers",
        "service/api/edge.py",
        '    (b"x-content-type-options", b"nosniff"),\n',
        "",
        (EDGE + "test_origins_preflights_and_security_headers",),
    ),
    Mutation(
        "only what trusted proxies wrote is an address",
        "service/api/gate.py",
        "return hops[-proxies][:64]",
        "return hops[0][:64]",
        (EDGE + "test_only_what_trusted_proxies_wrote_counts",),
    ),
    Mutation(
        "SSRF: metadata services are never called",
        "service/upstream/origin.py",
        "if ip in METADATA_ADDRESSES or ip.is_link_local:",
        "if False:",
        (ORIGIN + "test_what_no_flag_allows",),
    ),
    Mutation(
        "SSRF: private addresses need the flag",
        "service/upstream/origin.py",
        "    if inside and not allow_private:\n",
        "    if False:\n",
        (ORIGIN + "test_private_and_plain_upstreams_need_the_flag",),
    ),
    Mutation(
        "SSRF: an address inside another notation is seen",
        "service/upstream/origin.py",
        "    ip = mapped or ip\n",
        "",
        (ORIGIN + "test_private_and_plain_upstreams_need_the_flag", ORIGIN + "test_what_no_flag_allows"),
    ),
    Mutation(
        "SSRF: a name that leads inside gets no request",
        "service/upstream/dial.py",
        "        check_address(peer[0], allow_private=allow_private)\n",
        "        pass\n",
        (TLS + "test_a_name_that_leads_inside_gets_no_request",),
    ),
    Mutation(
        "certificates are verified",
        "service/upstream/dial.py",
        "    context.minimum_version = ssl.TLSVersion.TLSv1_2\n",
        "    context.check_hostname = False\n    context.verify_mode = ssl.CERT_NONE\n",
        (TLS + "test_an_unknown_issuer_is_refused",),
    ),
    Mutation(
        "names in certificates are verified",
        "service/upstream/dial.py",
        "    context.minimum_version = ssl.TLSVersion.TLSv1_2\n",
        "    context.check_hostname = False\n",
        (TLS + "test_a_certificate_for_another_name_is_refused",),
    ),
    Mutation(
        "a header cannot smuggle another",
        "service/upstream/client.py",
        "            if any(char in name or char in value for char in CONTROL):\n",
        "            if False:\n",
        ("tests/service/upstream/test_client.py::test_a_header_cannot_smuggle_another",),
    ),
    # --- bad input
    Mutation(
        "deep nesting is a 400",
        "service/api/decode.py",
        "    except RecursionError:\n",
        "    except ZeroDivisionError:\n",
        (CHAT + "test_what_cannot_be_read_is_400_in_the_error_format",),
    ),
    Mutation(
        "what is no JSON is a 400",
        "service/api/decode.py",
        "    except msgspec.DecodeError as error:\n",
        "    except ZeroDivisionError as error:\n",
        (CHAT + "test_what_cannot_be_read_is_400_in_the_error_format",),
    ),
    Mutation(
        "what is no UTF-8 is a 400",
        "service/api/decode.py",
        "    except UnicodeDecodeError:\n",
        "    except ZeroDivisionError:\n",
        (CHAT + "test_what_cannot_be_read_is_400_in_the_error_format",),
    ),
    Mutation(
        "a wrong type names its field",
        "service/api/decode.py",
        "param=path or None)",
        "param=None)",
        (OPENAI_FORMAT,),
    ),
    Mutation(
        "huge numbers are refused",
        "service/api/openai_request.py",
        "Count = Annotated[int, Meta(ge=1, le=10_000_000)]",
        "Count = int",
        (OPENAI_FORMAT, CHAT + "test_what_cannot_be_read_is_400_in_the_error_format"),
    ),
    Mutation(
        "unknown fields are ignored as OpenAI does",
        "service/api/openai_request.py",
        "class ChatRequest(Struct):",
        "class ChatRequest(Struct, forbid_unknown_fields=True):",
        (CHAT + "test_unknown_fields_are_ignored_as_openai_does",),
    ),
    Mutation(
        "what COPY takes for syntax cannot enter a row",
        "service/storage/usage.py",
        'return _UNSAFE.sub("?", value) if _UNSAFE.search(value) else value',
        "return value",
        ("tests/service/storage/test_shipper.py::test_what_postgres_refuses_is_put_aside_and_does_not_block_the_rest",),
    ),
    # --- settings
    Mutation(
        "an unknown setting is refused with the one that was meant",
        "service/settings.py",
        '            problems.append(f"{name} is not a setting: {_suggest(field)}")\n',
        "            pass\n",
        (SETTINGS + "test_an_unknown_name_is_refused_with_the_one_that_was_meant",),
    ),
    Mutation(
        "every problem of the settings is named at once",
        "service/settings.py",
        "for part in error.errors()]",
        "for part in error.errors()[:1]]",
        (SETTINGS + "test_every_problem_is_named_at_once",),
    ),
    Mutation(
        "who reads nothing of an answer is cut off",
        "service/api/idle.py",
        "            connection.transport.abort()",
        "            pass",
        (CHAT + "test_a_client_that_reads_nothing_does_not_hold_its_stream_for_ever",),
    ),
    Mutation(
        "who reads slowly is not",
        "service/api/idle.py",
        "if left >= connection.unread:",
        "if True:",
        ("tests/service/api/test_protocol.py::test_who_reads_slowly_but_reads_is_not_cut_off",),
    ),
    Mutation(
        "a secret may lie in a file",
        "service/settings.py",
        "values[target] = Path(value).read_text().strip()",
        "values[target] = value",
        (SETTINGS + "test_a_secret_may_lie_in_a_file",),
    ),
)  # fmt: skip
