"""The fleet-tracking API: user name and API key for an HS512 token, and the account's devices."""
