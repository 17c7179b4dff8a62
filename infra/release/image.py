"""Which image each colour gets: one SSM parameter a colour, and the registry that must have the image."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from infra.errors import OperationFailed, UserError
from infra.stack.outputs import Colour

VERSION: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
_ECR: Final = re.compile(
    r"(?P<account>\d{12})\.dkr\.ecr\.(?P<region>[a-z0-9-]+)\.amazonaws\.com/"
    r"(?P<repository>[a-z0-9][a-z0-9._/-]*)(?::(?P<tag>[\w][\w.-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)


def check_version(version: str) -> str:
    """A version label as it may stand in a header, a tag and a metric; `UserError` otherwise."""
    if VERSION.fullmatch(version) is None:
        raise UserError(
            f"--version {version!r} is not a version label.",
            "Use up to 64 letters, digits and . _ + - beginning with a letter or digit, for example v2.",
        )
    return version


@dataclass(frozen=True, slots=True)
class ImageParameters:
    """The image of each colour, as new instances read it at their start."""

    ssm: Any
    names: Mapping[Colour, str]

    def read(self, colour: Colour) -> str:
        """The parameter's value; empty when it was never written."""
        try:
            value: str = self.ssm.get_parameter(Name=self.names[colour])["Parameter"]["Value"]
        except ClientError as failed:
            if failed.response["Error"]["Code"] == "ParameterNotFound":
                return ""
            raise
        return value

    def write(self, colour: Colour, image: str) -> None:
        """Write it and read it back."""
        if self.read(colour) == image:
            return
        self.ssm.put_parameter(Name=self.names[colour], Value=image, Type="String", Overwrite=True)
        if self.read(colour) != image:
            raise OperationFailed(f"Parameter {self.names[colour]} is not {image!r} after it was written.")


def find_in_ecr(ecr: Any, image: str) -> str | None:
    """The image by its digest when ECR has it, else `None`. `UserError` for names that are not ECR's."""
    name = _ECR.fullmatch(image)
    if name is None or not (name["tag"] or name["digest"]):
        raise UserError(
            f"--image {image!r} is not an ECR image.",
            "Write 123456789012.dkr.ecr.<region>.amazonaws.com/<repository>:<tag> (or @sha256:…).",
        )
    wanted = {"imageDigest": name["digest"]} if name["digest"] else {"imageTag": name["tag"]}
    try:
        found = ecr.describe_images(
            registryId=name["account"], repositoryName=name["repository"], imageIds=[wanted]
        )["imageDetails"]
    except ClientError as failed:
        if failed.response["Error"]["Code"] in ("ImageNotFoundException", "RepositoryNotFoundException"):
            return None
        raise
    if not found:
        return None
    registry = f"{name['account']}.dkr.ecr.{name['region']}.amazonaws.com"
    return f"{registry}/{name['repository']}@{found[0]['imageDigest']}"
