"""What is declared: one module per concept, and one stack file per environment."""
