"""Notification channels, alerts, a dashboard, and a budget."""

from collections.abc import Sequence

import pulumi
import pulumi_gcp as gcp

from stacks import config
from stacks.alerts import Alerts
from stacks.bucket import Bucket
from stacks.component import Component
from stacks.dashboard import dashboard
from stacks.project import Project
from stacks.shared import Shared

# Shares of the monthly sum at which the budget notifies.
_THRESHOLDS = (0.5, 0.9, 1.0)
# The largest number of channels of a budget.
_MOST_CHANNELS = 5


class Monitoring(Component):
    """The dashboard of one project of a stack, and alerts if anybody receives them."""

    def __init__(self, monitoring: config.Monitoring, shared: Shared) -> None:
        project = shared.project
        super().__init__(project.named("monitoring"), project)
        self._monitoring = monitoring
        self._project = project
        self._channels: list[pulumi.Input[str]] = [
            *(self._channel(email) for email in monitoring.emails),
            # Cloud Monitoring notifies only channels of the same project.
            *(c for c in monitoring.channels if c.startswith(f"projects/{project.stack.project}/")),
        ]
        if self._channels:
            Alerts(project, shared.storage.data, shared.release.trigger, self._channels)
        gcp.monitoring.Dashboard(
            self.named("dashboard"),
            gcp.monitoring.DashboardArgs(dashboard_json=dashboard(project.stack)),
            self.child(project.service("monitoring")),
        )
        self.register_outputs({})

    def budget(self, buckets: Sequence[Bucket]) -> None:
        """Declare the budget, if the stack file has one, for the projects of these buckets."""
        if self._monitoring.budget is not None:
            Budget(self._monitoring.budget, self._project, buckets, self._channels)

    def _channel(self, email: str) -> pulumi.Output[str]:
        return gcp.monitoring.NotificationChannel(
            self.named(email),
            gcp.monitoring.NotificationChannelArgs(
                type="email",
                display_name=f"{self._project.stack.name}: {email}",
                labels={"email_address": email},
            ),
            pulumi.ResourceOptions(parent=self, depends_on=[self._project.service("monitoring")]),
        ).name


class Budget(Component):
    """Notifies when the month's bill of the stack's projects grows. It stops nothing."""

    def __init__(
        self,
        budget: config.Budget,
        project: Project,
        buckets: Sequence[Bucket],
        channels: Sequence[pulumi.Input[str]],
    ) -> None:
        super().__init__("budget", project)
        stack = project.stack
        # A budget belongs to a billing account, so a call has to name the project whose quota it
        # uses.
        billing = gcp.Provider(
            "billing",
            gcp.ProviderArgs(
                project=stack.project,
                region=stack.region,
                user_project_override=True,
                billing_project=stack.project,
            ),
            pulumi.ResourceOptions(parent=self),
        )
        gcp.billing.Budget(
            "budget",
            gcp.billing.BudgetArgs(
                billing_account=budget.billing_account,
                display_name=f"{stack.project}: {stack.name}",
                budget_filter=gcp.billing.BudgetBudgetFilterArgs(
                    # Projects by number, as the API returns them. A bucket has the number of its
                    # project. Looking it up would need Cloud Billing, which is not enabled.
                    projects=[
                        bucket.bucket.project_number.apply(lambda number: f"projects/{number}")
                        for bucket in buckets
                    ],
                    calendar_period="MONTH",
                ),
                amount=gcp.billing.BudgetAmountArgs(
                    # Without a currency: Google refuses any but the billing account's own.
                    specified_amount=gcp.billing.BudgetAmountSpecifiedAmountArgs(
                        units=str(budget.amount_per_month)
                    )
                ),
                threshold_rules=[
                    *(
                        gcp.billing.BudgetThresholdRuleArgs(threshold_percent=share)
                        for share in _THRESHOLDS
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
                depends_on=[project.service("billingbudgets")],
            ),
        )
        self.register_outputs({})
