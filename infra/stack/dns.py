"""The service's name: certificate before the load balancer, addresses after it."""

from __future__ import annotations

import pulumi
import pulumi_aws as aws

from infra.stack.component import Component
from infra.stack.edge import Edge
from infra.stack.settings import Settings


class Certificate(Component):
    """A certificate that proves itself through DNS, or the one that the settings name."""

    arn: pulumi.Input[str]

    def __init__(self, settings: Settings) -> None:
        super().__init__("certificate", settings)
        if settings.certificate_arn is not None:
            self.arn = settings.certificate_arn
        else:
            self.arn = self._validated()
        self.register_outputs({"arn": self.arn})

    def _validated(self) -> pulumi.Output[str]:
        certificate = aws.acm.Certificate(
            "service",
            domain_name=self.settings.domain,
            validation_method="DNS",
            key_algorithm="EC_prime256v1",
            opts=self.child(),
        )
        # One name, one proof; CREATE_BEFORE_DESTROY is Pulumi's default, so renewal never breaks TLS.
        proof = certificate.domain_validation_options[0]
        record = aws.route53.Record(
            "certificate-proof",
            zone_id=self.settings.hosted_zone_id or "",
            name=proof.resource_record_name,
            type=proof.resource_record_type,
            records=[proof.resource_record_value],
            ttl=300,
            allow_overwrite=True,
            opts=self.child(),
        )
        return aws.acm.CertificateValidation(
            "service",
            certificate_arn=certificate.arn,
            validation_record_fqdns=[record.fqdn],
            opts=self.child(),
        ).certificate_arn


class Address(Component):
    """An alias record that follows the load balancer (IPv4, as the VPC)."""

    def __init__(self, settings: Settings, edge: Edge) -> None:
        super().__init__("address", settings)
        if settings.domain is not None and settings.hosted_zone_id is not None:
            aws.route53.Record(
                "service",
                zone_id=settings.hosted_zone_id,
                name=settings.domain,
                type="A",
                aliases=[
                    {
                        "name": edge.load_balancer.dns_name,
                        "zone_id": edge.load_balancer.zone_id,
                        "evaluate_target_health": True,
                    }
                ],
                opts=self.child(),
            )
        self.register_outputs({})
