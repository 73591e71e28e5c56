"""Loads the configuration: the file, the environment over it, the defaults under both."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from aldaba.config.problems import ConfigError, Problem, unknown
from aldaba.config.rules import broken_rules
from aldaba.config.secret_urls import SecretURL, in_folder
from aldaba.config.settings import DIALECTS, Config, Dialect, Section, Server, Service, sections, settings_of
from aldaba.config.sources import (
    CONFIG_VARIABLE,
    Found,
    found_in_environment,
    found_in_file,
    is_of_a_service,
    read_file,
    service_names,
    variable,
)

DEFAULT_FILE = "aldaba.toml"

S = TypeVar("S", bound=Section)


def load(path: Path | None, environ: Mapping[str, str], *, dialects: Mapping[str, Dialect] = DIALECTS) -> Config:
    """Return the settings of a file and an environment.

    Args:
        path: the configuration file; without one, the environment and the defaults decide.
            Relative paths in settings are taken from its folder, else from the working folder.
        environ: `os.environ`, handed in.
        dialects: what services can speak, and the defaults of each.

    Raises:
        ConfigError: with every mistake there is.
    """
    loading = _Loading(path, environ, dialects)
    config = loading.config()
    if loading.problems:
        raise ConfigError(loading.problems)
    return config


def locate(environ: Mapping[str, str], folder: Path) -> Path | None:
    """Return the configuration file to use when none is named: `ALDABA_CONFIG`, or aldaba.toml in the folder."""
    if named := environ.get(CONFIG_VARIABLE):
        return Path(named)
    file = folder / DEFAULT_FILE
    return file if file.exists() else None


class _Loading:
    """One pass over all settings. A mistake is noted, and its default stands in so that the others are found too."""

    def __init__(self, path: Path | None, environ: Mapping[str, str], dialects: Mapping[str, Dialect]) -> None:
        self.problems: list[Problem] = []
        self._path = path
        self._folder = (path.parent if path else Path()).absolute()
        self._dialects = dialects
        self._wrong: set[str] = set()
        tables = read_file(path, self.problems) if path else {}
        # What an unreadable file would have set up is unknown, so no more is judged than single values.
        self._unreadable = bool(self.problems)
        found = found_in_file(tables, str(path), self.problems)
        self._services = service_names(found) or list(dialects)
        judged = {name: text for name, text in environ.items() if not (self._unreadable and is_of_a_service(name))}
        self._found: dict[str, Found] = found | found_in_environment(
            judged, self._services, self._folder, self.problems
        )

    def config(self) -> Config:
        read: dict[str, Any] = {name: self._section(name, kind) for name, kind in sections().items()}
        config = Config(**read, services=tuple(self._built_services()))
        for settings, text in () if self._unreadable else broken_rules(config):
            if self._wrong.isdisjoint(settings):
                self._report(settings[0], text)
        return msgspec.structs.replace(config, server=_with_urls(config))

    def _section(self, name: str, kind: type[S]) -> S:
        section = kind(**self._values(name, kind))
        placed = {field: _in_folder(getattr(section, field), self._folder) for field in settings_of(kind)}
        return msgspec.structs.replace(section, **placed)

    def _values(self, section: str, kind: type[Section]) -> dict[str, Any]:
        """Return what was set in a section and is good."""
        values: dict[str, Any] = {}
        for name, setting in settings_of(kind).items():
            key = f"{section}.{name}"
            if key not in self._found:
                continue
            try:
                values[name] = self._found[key].read(setting.reader)
            except ValueError as error:
                self._report(key, str(error))
        return values

    def _built_services(self) -> Iterator[Service]:
        for name in self._services:
            key = f"services.{name}"
            values = self._values(key, Service)
            dialect = values.setdefault("dialect", name)
            if dialect not in self._dialects:
                self._report(f"{key}.dialect", self._no_dialect(f"{key}.dialect", dialect))
                continue
            if values.get("path") and values.get("host"):
                self._report(f"{key}.host", "a service answers under a path or at a host of its own, not both")
            if not values.get("host"):
                values["path"] = values.get("path") or f"/{name}"
            yield Service(name=name, **(msgspec.structs.asdict(self._dialects[dialect]) | values))

    def _no_dialect(self, key: str, dialect: str) -> str:
        known = ", ".join(self._dialects)
        if key not in self._found:
            return f"is missing: one of {known}"
        return f"{unknown(f'dialect {dialect!r:.60}', dialect, self._dialects)} (there are {known})"

    def _report(self, setting: str, text: str) -> None:
        self._wrong.add(setting)
        self.problems.append(Problem(self._place(setting), text))

    def _place(self, setting: str) -> str:
        """Return where a setting stands, or where it would be set."""
        if setting in self._found:
            return self._found[setting].place
        return f"{self._path}: {setting}" if self._path else f"environment: {variable(setting)}"


def _in_folder(value: Any, folder: Path) -> Any:
    """Return a value with every relative path in it taken from the folder."""
    match value:
        case Path():
            return folder / value
        case SecretURL():
            return in_folder(value, folder)
        case tuple():
            return tuple(_in_folder(item, folder) for item in value)
        case _:
            return value


def _with_urls(config: Config) -> Server:
    """Fill in the base URLs that follow from the listeners."""
    server = config.server
    return msgspec.structs.replace(
        server,
        public_url=server.public_url or server.public.url("https" if config.tls.certificate else "http"),
        mtls_url=server.mtls_url or (server.mtls.url("https") if server.mtls else ""),
    )
