"""Where settings come from: the file, the environment, and the files that the environment names.

What is found is still raw: a `Found` knows its place and how to be read, and nothing is checked but its name.
"""

import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aldaba.config.problems import Problem, printable, unknown
from aldaba.config.readers import Reader
from aldaba.config.readers import path as path_of_file
from aldaba.config.settings import Service, sections, settings_of

PREFIX = "ALDABA_"
# Read by the command line: which file to load.
CONFIG_VARIABLE = "ALDABA_CONFIG"
# The short name that deployments use for the path of the master key.
ALIASES = {"ALDABA_MASTER_KEY_FILE": "keys.master_key_file"}

_SERVICE_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_LARGEST_VALUE = 64 * 1024
# Kubernetes tells every container of a namespace about every service there; one of them may well be called aldaba.
_KUBERNETES = re.compile(
    r"ALDABA_(?:[A-Z0-9_]+_)?"
    r"(?:SERVICE_HOST=.*|SERVICE_PORT(?:_[A-Z0-9_]+)?=[0-9]+|PORT=\w+://.*|PORT_[0-9]+_(?:TCP|UDP|SCTP)(?:_[A-Z]+)?=.*)"
)


@dataclass(frozen=True, slots=True)
class Found:
    """One raw value and where it stands."""

    place: str
    raw: Any
    is_text: bool = False

    def read(self, reader: Reader[Any]) -> Any:
        """Return the typed value, or raise ValueError with what is wrong."""
        return reader.from_text(self.raw) if self.is_text else reader.from_toml(self.raw)


def read_file(path: Path, problems: list[Problem]) -> dict[str, Any]:
    """Return the tables of a TOML file, empty when it cannot be read."""
    try:
        return tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        problems.append(Problem(str(path), f"cannot be read: {error.strerror}"))
    except UnicodeDecodeError:
        problems.append(Problem(str(path), "is not UTF-8"))
    except tomllib.TOMLDecodeError as error:
        problems.append(Problem(str(path), f"is not TOML: {error}"))
    except RecursionError:
        problems.append(Problem(str(path), "is not TOML: nested too deeply"))
    return {}


def found_in_file(tables: Mapping[str, Any], file: str, problems: list[Problem]) -> dict[str, Found]:
    """Return what a file sets, by the names of the settings, and report every name that is none."""
    found: dict[str, Found] = {}
    for name, table in tables.items():
        if name == "services":
            found |= _found_services(table, file, problems)
        elif name not in sections():
            problems.append(Problem(f"{file}: {printable(name)}", unknown("section", name, [*sections(), "services"])))
        else:
            found |= _found_table(name, table, settings_of(sections()[name]), file, problems)
    return found


def _found_services(table: Any, file: str, problems: list[Problem]) -> dict[str, Found]:
    if not isinstance(table, dict):
        problems.append(Problem(f"{file}: services", "must hold tables, as [services.fleet]"))
        return {}
    found: dict[str, Found] = {}
    for name, service in table.items():
        if not _SERVICE_NAME.fullmatch(name):
            problems.append(
                Problem(f"{file}: services.{printable(name)}", "a name has letters a to z, digits and hyphens")
            )
            continue
        # The service exists with nothing set at all.
        found[f"services.{name}"] = Found(f"{file}: services.{name}", None)
        found |= _found_table(f"services.{name}", service, settings_of(Service), file, problems)
    return found


def _found_table(
    section: str, table: Any, known: Iterable[str], file: str, problems: list[Problem]
) -> dict[str, Found]:
    if not isinstance(table, dict):
        problems.append(Problem(f"{file}: {section}", f"must be a table: [{section}]"))
        return {}
    found: dict[str, Found] = {}
    for name, raw in table.items():
        place = f"{file}: {section}.{printable(name)}"
        if name in known:
            found[f"{section}.{name}"] = Found(place, raw)
        else:
            problems.append(Problem(place, unknown("setting", name, known)))
    return found


def service_names(found: Iterable[str]) -> list[str]:
    """Return the names of the services that a file sets up, in its order."""
    return [key.partition(".")[2] for key in found if key.startswith("services.") and key.count(".") == 1]


def variable(setting: str) -> str:
    """Return the environment variable of a setting."""
    return PREFIX + re.sub("[.-]", "_", setting).upper()


def is_of_a_service(name: str) -> bool:
    """Return whether an environment variable is meant for a service."""
    return name.startswith(f"{PREFIX}SERVICES_")


def setting_names(services: Iterable[str]) -> Iterator[str]:
    """Return every setting's name, with those of the services."""
    for section, kind in sections().items():
        yield from (f"{section}.{name}" for name in settings_of(kind))
    for service in services:
        yield from (f"services.{service}.{name}" for name in settings_of(Service))


def found_in_environment(
    environ: Mapping[str, str], services: Iterable[str], folder: Path, problems: list[Problem]
) -> dict[str, Found]:
    """Return what the environment sets, and report every `ALDABA_*` name that is no setting's."""
    names = {variable(setting): setting for setting in setting_names(services)} | ALIASES
    found: dict[str, Found] = {}
    for name in sorted(environ):
        if not name.startswith(PREFIX) or name == CONFIG_VARIABLE:
            continue
        if name in names:
            value = Found(f"environment: {name}", environ[name], is_text=True)
            _add(found, names[name], value, problems)
        elif name.removesuffix("_FILE") in names:
            setting = names[name.removesuffix("_FILE")]
            if (text := _value_of_file(name, environ[name], folder, problems)) is not None:
                _add(found, setting, Found(f"environment: {name}", text, is_text=True), problems)
        elif not _KUBERNETES.fullmatch(f"{name}={environ[name]}"):
            problems.append(Problem(f"environment: {printable(name)}", _unknown_variable(name, names)))
    return found


def _add(found: dict[str, Found], setting: str, value: Found, problems: list[Problem]) -> None:
    if setting in found:
        problems.append(Problem(value.place, f"{setting} is set by {found[setting].place.split(': ')[1]} as well"))
    found[setting] = value


def _value_of_file(name: str, path: str, folder: Path, problems: list[Problem]) -> str | None:
    """Return the content of the file that a `*_FILE` variable names, without its last line end."""
    place = f"environment: {name}"
    try:
        with (folder / path_of_file().from_text(path)).open("rb") as file:
            content = file.read(_LARGEST_VALUE + 1)
        text = content.decode("utf-8")
    except OSError as error:
        problems.append(Problem(place, f"the file cannot be read: {error.strerror}"))
    except UnicodeDecodeError:
        problems.append(Problem(place, "the file is not UTF-8"))
    except ValueError as error:
        problems.append(Problem(place, str(error)))
    else:
        if len(content) <= _LARGEST_VALUE:
            return text.removesuffix("\n").removesuffix("\r")
        problems.append(Problem(place, "the file is too large for a setting"))
    return None


def _unknown_variable(name: str, names: Iterable[str]) -> str:
    if is_of_a_service(name):
        return unknown("setting or service; services are set up in the file first", name, names)
    return unknown("setting", name, names)
