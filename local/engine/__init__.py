"""The providers that Pulumi's engine talks to in place of those of Google and Docker."""
