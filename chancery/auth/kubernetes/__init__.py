"""The auth method `kubernetes`: service accounts, whose tokens the cluster's own API server is asked to judge."""
