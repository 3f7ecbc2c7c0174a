"""Google's services on one machine: what each resource type does when it is declared."""
