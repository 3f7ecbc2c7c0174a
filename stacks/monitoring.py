"""Who is told when something is wrong: channels, alerts, a dashboard, and a budget."""

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from stacks import config
from stacks.alerts import Alerts
from stacks.component import Component
from stacks.dashboard import dashboard
from stacks.foundation import Foundation
from stacks.release import Release

# Shares of the monthly sum at which the budget speaks.
_SPENT = (0.5, 0.9, 1.0)
# Channels that a budget takes.
_MOST_CHANNELS = 5


class Monitoring(Component):
    """What is told of a project's share of a stack; alerts only where there is anybody to tell."""

    def __init__(
        self, monitoring: config.Monitoring, foundation: Foundation, release: Release
    ) -> None:
        super().__init__(foundation.named("monitoring"), foundation)
        self._monitoring = monitoring
        self._foundation = foundation
        project = foundation.stack.project
        self._channels: list[pulumi.Input[str]] = [
            *(self._channel(email) for email in monitoring.emails),
            # Cloud Monitoring takes no other project's channel.
            *(c for c in monitoring.channels if c.startswith(f"projects/{project}/")),
        ]
        if self._channels:
            Alerts(foundation, release, self._channels)
        gcp.monitoring.Dashboard(
            self.named("dashboard"),
            gcp.monitoring.DashboardArgs(dashboard_json=dashboard(foundation.stack)),
            self.child(foundation.service("monitoring")),
        )
        self.register_outputs({})

    def budget(self, parts: Sequence[Foundation]) -> None:
        """Declare the budget, if there is to be one; it is one for all projects of the stack."""
        if self._monitoring.budget is not None:
            Budget(self._monitoring.budget, self._foundation, parts, self._channels)

    def _channel(self, email: str) -> pulumi.Output[str]:
        return gcp.monitoring.NotificationChannel(
            self.named(email),
            gcp.monitoring.NotificationChannelArgs(
                type="email",
                display_name=f"{self._foundation.stack.name}: {email}",
                labels={"email_address": email},
            ),
            pulumi.ResourceOptions(
                parent=self, depends_on=[self._foundation.service("monitoring")]
            ),
        ).name


class Budget(Component):
    """Tells when the month's bill of the stack's projects grows; it stops nothing."""

    def __init__(
        self,
        budget: config.Budget,
        foundation: Foundation,
        parts: Sequence[Foundation],
        channels: Sequence[pulumi.Input[str]],
    ) -> None:
        super().__init__("budget", foundation)
        project = foundation.stack.project
        # A budget belongs to a billing account, so the API asks on whose quota the call is made.
        billing = gcp.Provider(
            "billing",
            gcp.ProviderArgs(
                project=project,
                region=foundation.stack.region,
                user_project_override=True,
                billing_project=project,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        gcp.billing.Budget(
            "budget",
            gcp.billing.BudgetArgs(
                billing_account=budget.billing_account,
                display_name=f"{project}: {foundation.stack.name}",
                budget_filter=gcp.billing.BudgetBudgetFilterArgs(
                    # By number, as the API gives them back. A bucket knows its project's: to look
                    # the project up, the provider also asks Cloud Billing, which is not enabled.
                    projects=[
                        part.data.bucket.project_number.apply(lambda number: f"projects/{number}")
                        for part in parts
                    ],
                    calendar_period="MONTH",
                ),
                amount=gcp.billing.BudgetAmountArgs(
                    # No currency: Google refuses any but the billing account's own.
                    specified_amount=gcp.billing.BudgetAmountSpecifiedAmountArgs(
                        units=str(budget.amount_per_month)
                    )
                ),
                threshold_rules=[
                    *(
                        gcp.billing.BudgetThresholdRuleArgs(threshold_percent=share)
                        for share in _SPENT
                    ),
                    gcp.billing.BudgetThresholdRuleArgs(
                        threshold_percent=1.0, spend_basis="FORECASTED_SPEND"
                    ),
                ],
                all_updates_rule=gcp.billing.BudgetAllUpdatesRuleArgs(
                    monitoring_notification_channels=list(channels)[:_MOST_CHANNELS]
                )
                if channels
                else None,
            ),
            pulumi.ResourceOptions(
                parent=self,
                provider=billing,
                depends_on=[foundation.service("billingbudgets")],
            ),
        )
        self.register_outputs({})
