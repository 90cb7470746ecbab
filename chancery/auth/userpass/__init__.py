"""The auth method `userpass`: people with a name and a password."""
