"""IAM: service accounts, custom roles and grants."""
