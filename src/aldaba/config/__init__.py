"""The settings, one frozen value, from `aldaba.toml`, `ALDABA_*` and the files that `ALDABA_*_FILE` names."""

from aldaba.config.load import load, locate
from aldaba.config.problems import ConfigError, Problem
from aldaba.config.settings import DIALECTS, Config, Dialect, Service
from aldaba.config.show import show

__all__ = ["DIALECTS", "Config", "ConfigError", "Dialect", "Problem", "Service", "load", "locate", "show"]
