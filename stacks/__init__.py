"""The declaration: one module per concept, and one stack file per environment."""
