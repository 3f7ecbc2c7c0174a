"""The providers that Pulumi's engine talks to in place of Google's and Docker's."""
