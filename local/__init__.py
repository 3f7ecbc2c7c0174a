"""Google Cloud and X on one machine, for the same programs and the same Pulumi program."""
