"""Builds a serving process out of its configuration and runs it.

Everything is wired here, by hand and once; nothing is found by import or made on first use.
"""

from aldaba.server.build import DIALECTS, LOADERS, open_core, open_registrar, services_of
from aldaba.server.run import Bound, serve

__all__ = ["DIALECTS", "LOADERS", "Bound", "open_core", "open_registrar", "serve", "services_of"]
