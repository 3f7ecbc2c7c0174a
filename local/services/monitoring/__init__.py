"""Cloud Monitoring and billing budgets: declared and checked, never measured."""
