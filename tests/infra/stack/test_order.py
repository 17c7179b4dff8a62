"""What has to be there before something else: AWS and Kubernetes refuse it otherwise, or keep it for ever."""

from __future__ import annotations

import pytest

from tests.infra.estates import estate

CONTROLLER = "kubernetes:helm.sh/v3:Release::load-balancer-controller"


@pytest.mark.parametrize(
    ("compute", "kind", "name", "needs"),
    [
        # Its kind comes with the controller's chart, which also takes its finalizer off at the end.
        ("eks", "elbv2.k8s.aws/v1beta1:TargetGroupBinding", "blue-targets", CONTROLLER),
        ("eks", "elbv2.k8s.aws/v1beta1:TargetGroupBinding", "green-targets", CONTROLLER),
        # "The load balancer does not route traffic to the target group": refused until a listener does.
        ("ec2", "autoscaling/policy:Policy", "blue-requests", "aws:lb/listener:Listener::production"),
        ("ec2", "autoscaling/policy:Policy", "green-requests", "aws:lb/listener:Listener::production"),
        # "Access Denied for bucket": ELB tries whether it may write.
        ("ec2", "lb/loadBalancer:LoadBalancer", "alb", "aws:s3/bucketPolicy:BucketPolicy::access-logs"),
    ],
)
def test_it_waits_for_what_it_needs(compute: str, kind: str, name: str, needs: str) -> None:
    found = estate("prod", compute)
    (urn,) = [each.urn for each in found.resources.values() if each.type.endswith(kind) and each.name == name]
    before = {
        f"{one.split('::')[2].split('$')[-1]}::{one.rsplit('::', 1)[-1]}" for one in found.dependencies[urn]
    }
    assert needs in before
