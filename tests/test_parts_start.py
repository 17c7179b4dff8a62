"""The fixtures themselves: every real part answers."""

import redis

from tests.parts import REGION


def test_postgres_answers(database_url):
    assert database_url.startswith("postgresql://postgres@127.0.0.1:")


def test_valkey_answers(valkey_server):
    assert redis.Redis.from_url(valkey_server).ping()


def test_aws_answers(aws):
    aws("s3").create_bucket(Bucket="bucket", CreateBucketConfiguration={"LocationConstraint": REGION})
    assert [bucket["Name"] for bucket in aws("s3").list_buckets()["Buckets"]] == ["bucket"]
