"""The settings as an operator may see them: in the words of the configuration file, without secrets."""

from typing import Any

from aldaba.config.readers import Shown
from aldaba.config.settings import Config, Section, Service, sections, settings_of


def show(config: Config) -> dict[str, dict[str, Any]]:
    """Return every setting in force, as the tables of a configuration file that says the same.

    Passwords in URLs are masked.
    """
    tables: dict[str, dict[str, Any]] = {name: _shown(getattr(config, name)) for name in sections()}
    tables["services"] = {service.name: _shown(service) for service in config.services}
    return tables


def _shown(section: Section | Service) -> dict[str, Shown]:
    return {name: setting.reader.show(getattr(section, name)) for name, setting in settings_of(type(section)).items()}
