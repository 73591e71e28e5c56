"""Measures the server beside a bare application that does the same cryptography and nothing else (`make bench`).

Nothing is asserted, since machines are noisy: the table says what is.
"""
