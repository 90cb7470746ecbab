"""The auth method `approle`: machines with a role id and a secret id."""
