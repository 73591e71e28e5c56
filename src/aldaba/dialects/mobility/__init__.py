"""The road-traffic platform's API: a client certificate from a registered address for an HS512 token."""
