"""The nouns: frozen values with no behaviour but questions about themselves."""
