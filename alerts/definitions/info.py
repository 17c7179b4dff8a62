"""Worth a line in the channel; nobody has to act."""

from __future__ import annotations

from typing import Final

from alerts.model import Alert

ALERTS: Final = (
    Alert(
        "SuperAgentDeploymentRunning",
        "max by (environment) (superagent_release_in_progress) == 1",
        "0m",
        "{{ $labels.environment }}: a release is running",
        "Traffic moves between blue and green; see the release dashboard.",
        dashboard="superagent-release",
    ),
    Alert(
        "SuperAgentVersionChanged",
        """
        count by (environment, colour, version) (superagent_build_info)
        unless on (environment, colour, version)
        count by (environment, colour, version) (superagent_build_info offset 15m)
        """,
        "0m",
        "{{ $labels.environment }}: version {{ $labels.version }} runs on {{ $labels.colour }}",
        "It did not 15 minutes ago.",
        dashboard="superagent-release",
    ),
    # Settings come from the environment of the process, so a change is a restart of the same version.
    Alert(
        "SuperAgentConfigurationChanged",
        """
        sum by (environment, colour) (changes(process_start_time_seconds{job="superagent"}[15m])) > 0
        unless on (environment) max_over_time(superagent_release_in_progress[20m]) == 1
        """,
        "0m",
        "{{ $labels.environment }}: {{ $labels.colour }} restarted outside a release",
        "{{ $value }} restarts in 15 minutes: changed settings, or crashes.",
    ),
)
