"""Where images lie: tags that never move, scanned, encrypted, and tidied up."""

from __future__ import annotations

import json
from typing import Any, Final

import pulumi_aws as aws

from infra.stack.component import Component
from infra.stack.secrets import Secrets
from infra.stack.settings import Settings

KEPT_IMAGES: Final = 50


def tags_of(image: str | None) -> list[str]:
    """The tag of an image, if it has one. Backups and drills need theirs for longer than fifty releases."""
    _, _, tag = (image or "").partition("@")[0].rpartition("/")[2].partition(":")
    return [tag] if tag else []


class Registry(Component):
    """One repository; a release names an image by its immutable tag."""

    def __init__(self, settings: Settings, secrets: Secrets) -> None:
        super().__init__("registry", settings)
        self.repository = aws.ecr.Repository(
            "service",
            name=settings.names.of("service"),
            image_tag_mutability="IMMUTABLE",
            image_scanning_configuration={"scan_on_push": True},
            encryption_configurations=[{"encryption_type": "KMS", "kms_key": secrets.data_key.arn}],
            force_delete=False,
            opts=self.guarded(),
        )
        # What a rule with a smaller number is about, no later one removes (ECR guide, lifecycle policies).
        rules: list[tuple[str, dict[str, Any], int]] = [
            *[
                (
                    "of the jobs",
                    {"tagStatus": "tagged", "tagPatternList": [tag], "countType": "imageCountMoreThan"},
                    1,
                )
                for tag in tags_of(settings.tools_image)
            ],
            ("untagged", {"tagStatus": "untagged", "countType": "sinceImagePushed", "countUnit": "days"}, 7),
            ("too many", {"tagStatus": "any", "countType": "imageCountMoreThan"}, KEPT_IMAGES),
        ]
        aws.ecr.LifecyclePolicy(
            "service",
            repository=self.repository.name,
            policy=json.dumps(
                {
                    "rules": [
                        {
                            "rulePriority": priority,
                            "description": description,
                            "selection": {**selection, "countNumber": number},
                            "action": {"type": "expire"},
                        }
                        for priority, (description, selection, number) in enumerate(rules, start=1)
                    ]
                }
            ),
            opts=self.child(),
        )
        self.register_outputs({"url": self.repository.repository_url})
