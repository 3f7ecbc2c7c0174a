"""`bots`, the operator's command: see, feed and steer the bots of one stack."""
