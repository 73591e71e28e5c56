"""Storage: plain SQL through SQLAlchemy Core, the registry view, and the ledger.

Functions take an open `Connection`, so they compose in one transaction; what differs between SQLite and PostgreSQL is
in `engines.py` alone.
"""
