"""`aldaba init`: a new installation. What is there already is kept, so that running it twice does no harm."""

import os
from pathlib import Path

from cyclopts import App

from aldaba.cli.context import Cli, Context
from aldaba.config import Config
from aldaba.core.keyring import unwrap
from aldaba.core.keys import ensure_keys
from aldaba.crypto.master_key import create_master_key
from aldaba.errors import Impossible
from aldaba.store.clients import list_partners
from aldaba.store.database import Database, engine_for, prepare_database
from aldaba.store.engines.sqlite import Sqlite
from aldaba.store.keys import list_keys
from aldaba.store.migrations import HEAD, current_revision

app = App(
    name="init",
    help_epilogue="""\
Example:
  aldaba init
  aldaba --config /etc/aldaba/aldaba.toml init""",
)

SETTINGS = """\
# The settings of this installation. 'aldaba config show' prints every setting in force, defaults too;
# 'aldaba config check' finds mistakes. Relative paths begin at this file's folder.

[server]
public = "127.0.0.1:8080"
# Where client certificates are asked for:
# mtls = "127.0.0.1:8443"

[database]
url = "sqlite:///var/aldaba.db"
# url = "postgresql://aldaba@db.internal/aldaba"

[keys]
master_key_file = "var/master.key"

[audit]
# Signed checkpoints, on storage that the database's keeper cannot change:
# checkpoint_file = "/mnt/elsewhere/checkpoints.jsonl"

# One table for each service. Its name is its path, and its dialect where none is named.
[services.fleet]

# A dialect with client certificates wants server.mtls above, and these files:
# [mtls]
# certificate = "server.pem"
# key = "server.key"
# anchors = ["partners-ca.pem"]
#
# [services.mobility]
"""


@app.default
async def init(*, cli: Cli) -> None:
    """Make a new installation: configuration, master key, database, signing keys."""
    made: list[str] = []
    file = cli.located() or cli.terminal.folder / "aldaba.toml"
    if _write_settings(file):
        made.append(f"the configuration {_near(cli, file)}")
    config = cli.config()
    revision = await _revision(config)
    if _make_master_key(config.keys.master_key_file, is_new=revision is None):
        made.append(
            f"the master key {_near(cli, config.keys.master_key_file)}: keep a copy elsewhere, without it the database"
            " opens nothing"
        )
    if revision is None:
        await prepare_database(config.database.url.reveal())
        made.append(f"the database {_database(cli, config)}, schema {HEAD}")
    services, partners = await _look_at_registry(cli, made)
    _report(cli, config, file, made, services[0] if partners == 0 else None)


async def _look_at_registry(cli: Context, made: list[str]) -> tuple[list[str], int]:
    """Make missing signing keys, and open all of them; return the services and whether there is a partner."""
    async with cli.registrar() as registrar:
        before = {key.service for key in await registrar.database.read(list_keys)}
        await ensure_keys(registrar)
        keys = await registrar.database.read(list_keys)
        for key in keys:
            unwrap(registrar.secrets.sealing, key)
        made.extend(f"the signing keys of {name}" for name in sorted({key.service for key in keys} - before))
        partners = await registrar.database.read(list_partners, limit=1)
    return list(registrar.services), len(partners)


def _report(cli: Context, config: Config, file: Path, made: list[str], service: str | None) -> None:
    lines = [f"made {text}" for text in made] or ["everything is there already; nothing was changed"]
    option = "" if file == cli.terminal.folder / "aldaba.toml" else f" --config {_near(cli, file)}"
    lines.append("next:")
    if service is not None:
        lines += [
            f"  aldaba{option} partner add 'Acme Logistics'",
            f"  aldaba{option} client add acme --partner 'Acme Logistics' --service {service}",
            f"  aldaba{option} credential add acme",
        ]
    lines += [f"  aldaba{option} serve", f"  aldaba{option} doctor"]
    record = {
        "config": str(file),
        "master_key_file": str(config.keys.master_key_file),
        "database": str(config.database.url),
        "schema": HEAD,
        "made": made,
    }
    cli.done("\n".join(lines), record)


def _write_settings(file: Path) -> bool:
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        # Passwords may be written into it later.
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with os.fdopen(descriptor, "w", encoding="utf-8") as new:
        new.write(SETTINGS)
    return True


def _make_master_key(file: Path, *, is_new: bool) -> bool:
    if file.exists():
        return False
    if not is_new:
        # A new key would open nothing of what is in the database.
        raise Impossible(f"the database is there and its master key {file} is not; restore that file from its copy")
    file.parent.mkdir(parents=True, exist_ok=True)
    create_master_key(file)
    return True


async def _revision(config: Config) -> str | None:
    """Return the schema version of the database, None where there is no database or nothing in it."""
    engine = engine_for(config.database.url.reveal())
    if isinstance(engine, Sqlite) and not (engine.path.is_file() and engine.path.stat().st_size):
        engine.path.parent.mkdir(parents=True, exist_ok=True)
        return None
    database = Database(engine)
    try:
        return await database.read(current_revision)
    finally:
        await database.close()


def _near(cli: Context, file: Path) -> str:
    """Return a path as it looks from the working folder."""
    return str(file.relative_to(cli.terminal.folder)) if file.is_relative_to(cli.terminal.folder) else str(file)


def _database(cli: Context, config: Config) -> str:
    engine = engine_for(config.database.url.reveal())
    return _near(cli, engine.path) if isinstance(engine, Sqlite) else str(config.database.url)
