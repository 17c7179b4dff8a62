"""The state folder: bodies of objects, other versions, damage, two owners, a full disk."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError

from tests.infra.local.aws_process import AwsProcess
from tests.parts import free_port, wait_until

pytestmark = pytest.mark.component


def bucket(aws: AwsProcess) -> Any:
    client = aws.client("s3", "us-east-1")
    client.create_bucket(Bucket="bucket")
    return client


def blobs(aws: AwsProcess) -> list[int]:
    return sorted(path.stat().st_size for path in (aws.data / "blobs").iterdir())


def test_large_multipart_uploads_survive_and_their_bodies_are_not_in_memory(aws_process: AwsProcess) -> None:
    client = bucket(aws_process)
    part = os.urandom(8 * 1024 * 1024)
    upload = client.create_multipart_upload(Bucket="bucket", Key="dump")["UploadId"]
    done = [
        {
            "PartNumber": n,
            "ETag": client.upload_part(Bucket="bucket", Key="dump", UploadId=upload, PartNumber=n, Body=part)[
                "ETag"
            ],
        }
        for n in range(1, 5)
    ]
    aws_process.kill_and_restart()  # in the middle of the upload
    client.complete_multipart_upload(
        Bucket="bucket", Key="dump", UploadId=upload, MultipartUpload={"Parts": done}
    )
    aws_process.kill_and_restart()
    assert client.get_object(Bucket="bucket", Key="dump")["Body"].read() == part * 4
    assert client.get_object(Bucket="bucket", Key="dump", Range="bytes=8388600-8388615")["Body"].read() == (
        part[-8:] + part[:8]
    )


def test_bodies_of_deleted_and_overwritten_objects_are_deleted(aws_process: AwsProcess) -> None:
    client = bucket(aws_process)
    client.put_object(Bucket="bucket", Key="k", Body=b"1" * 11)
    client.put_object(Bucket="bucket", Key="k", Body=b"2" * 12)
    client.put_object(Bucket="bucket", Key="other", Body=b"3" * 13)
    client.copy_object(Bucket="bucket", Key="copy", CopySource="bucket/other")
    client.delete_object(Bucket="bucket", Key="other")
    assert client.get_object(Bucket="bucket", Key="copy")["Body"].read() == b"3" * 13
    client.put_object(Bucket="bucket", Key="last", Body=b"4" * 14)
    wait_until(lambda: blobs(aws_process) == [12, 13, 14], "only bodies of living objects are left", 5)
    aws_process.kill_and_restart()
    assert blobs(aws_process) == [12, 13, 14]
    assert client.get_object(Bucket="bucket", Key="k")["Body"].read() == b"2" * 12


def test_reset_clears_the_disk_too(aws_process: AwsProcess) -> None:
    client = bucket(aws_process)
    client.put_object(Bucket="bucket", Key="k", Body=b"1")
    assert aws_process.post("/moto-api/reset", {}) == 200
    assert client.list_buckets()["Buckets"] == []
    aws_process.kill_and_restart()
    assert client.list_buckets()["Buckets"] == []
    assert blobs(aws_process) == []


def test_the_state_of_another_version_is_kept_aside_and_said(aws_process: AwsProcess) -> None:
    bucket(aws_process)
    aws_process.kill()
    stamp = aws_process.data / "format.json"
    stamp.write_text(json.dumps({**json.loads(stamp.read_text()), "moto": "4.0.0"}))
    aws_process.start()
    assert aws_process.client("s3", "us-east-1").list_buckets()["Buckets"] == []
    assert [path.name for path in aws_process.data.glob("aside-*/s3.state")] == ["s3.state"]
    assert "kept aside" in aws_process.log.read_text()


def refused(aws: AwsProcess, data: Path, port: int | None = None) -> str:
    """Start a second one that must not come up; what it says."""
    command = [
        sys.executable,
        "-m",
        "infra.local.aws",
        "--port",
        str(port or free_port()),
        "--data",
        str(data),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2, done.stderr
    return done.stderr


def test_a_damaged_state_is_refused_with_its_name_and_kept(aws_process: AwsProcess) -> None:
    bucket(aws_process)
    aws_process.kill()
    path = aws_process.data / "s3.state"
    path.write_bytes(path.read_bytes()[:-10])
    said = refused(aws_process, aws_process.data)
    assert str(path) in said and "damaged" in said
    assert path.exists()


def test_a_folder_in_use_is_refused(aws_process: AwsProcess) -> None:
    assert "belongs to a running AWS API" in refused(aws_process, aws_process.data)


def test_a_taken_port_is_refused(aws_process: AwsProcess, tmp_path: Path) -> None:
    assert str(aws_process.port) in refused(aws_process, tmp_path / "other", aws_process.port)


def test_a_folder_that_cannot_be_written_is_refused(aws_process: AwsProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert "Cannot write" in refused(aws_process, tmp_path / "file" / "data")


def test_a_write_that_does_not_fit_on_the_disk_is_not_answered_and_nothing_is_lost(tmp_path: Path) -> None:
    aws = AwsProcess(tmp_path / "aws")
    aws.start(preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000)))
    try:
        client = bucket(aws)
        client.put_object(Bucket="bucket", Key="small", Body=b"fits")
        with pytest.raises(BotoCoreError):
            client.put_object(Bucket="bucket", Key="large", Body=b"x" * 2_000_000)
        aws.start()
        assert [one["Key"] for one in client.list_objects_v2(Bucket="bucket")["Contents"]] == ["small"]
        assert client.get_object(Bucket="bucket", Key="small")["Body"].read() == b"fits"
        assert "cannot write the state" in aws.log.read_text()
    finally:
        aws.kill()
