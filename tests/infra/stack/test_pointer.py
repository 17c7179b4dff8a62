"""One grammar for the database in use, whoever writes or reads it."""

from __future__ import annotations

import pytest

from infra.errors import UserError
from infra.stack.pointer import Pointer
from tests.infra.estates import estate


def test_what_is_written_is_what_is_read() -> None:
    for text in ("local/superagent", "superagent-prod-database-r20261123020000/superagent_r2"):
        assert str(Pointer.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["superagent", "", "/", "a/", "/b", "a/b/c", "a/b c", "a--b/c", "a-/c", "a/b'; drop", "a/$(x)", "1a/b"],
)
def test_what_is_no_pointer_is_refused(text: str) -> None:
    with pytest.raises(UserError):
        Pointer.parse(text)


def test_a_bare_name_means_a_database_of_the_instance_in_use() -> None:
    now = Pointer("prod-db", "superagent")
    assert now.to("superagent_r2") == Pointer("prod-db", "superagent_r2")
    assert now.to("prod-db-r2/superagent") == Pointer("prod-db-r2", "superagent")


@pytest.mark.parametrize(("stack", "compute"), [("local", "local"), ("prod", "ec2"), ("prod", "eks")])
def test_the_stack_begins_with_a_pointer_to_its_own_database(stack: str, compute: str) -> None:
    resources = list(estate(stack, compute).resources.values())
    [value] = [
        one.inputs["value"]
        for one in resources
        if one.type == "aws:ssm/parameter:Parameter" and one.name == "database"
    ]
    pointer = Pointer.parse(value)
    databases = [
        one for one in resources if one.type == "aws:rds/instance:Instance" and one.name == "primary"
    ]
    if stack == "local":
        assert (str(pointer), databases) == ("local/superagent", [])
    else:
        [primary] = databases
        assert (pointer.instance, pointer.database) == (
            primary.inputs["identifier"],
            primary.inputs["dbName"],
        )
