"""Bytes: tokens, keys, hashes, certificates. Imports nothing of ours, so that it can be read and believed alone."""
