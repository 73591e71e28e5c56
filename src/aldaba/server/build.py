"""Builds what decides, out of the configuration: database, registry view, ledger, keys, clock, counters, trust."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from typing import Any

import structlog

from aldaba.config import Config
from aldaba.core import Core
from aldaba.core.audit import EventChain
from aldaba.core.checkpoints import CheckpointFile
from aldaba.core.clock import Clock
from aldaba.core.keyring import Keyring
from aldaba.core.keys import ensure_keys
from aldaba.core.limits import Limits, storage_for
from aldaba.core.proofs import Secrets
from aldaba.core.registrar import Registrar
from aldaba.core.trust import Trust
from aldaba.core.upkeep import restore_failures, upkeep
from aldaba.core.usage import UsageNotes
from aldaba.crypto.certificates import Policy, StaleCrl
from aldaba.crypto.master_key import load_master_key
from aldaba.dialects.fleet.routes import FLEET
from aldaba.dialects.mobility.routes import MOBILITY
from aldaba.model.ids import new_id
from aldaba.model.services import Service
from aldaba.store import clients, devices, keys, tokens
from aldaba.store.database import Database, open_database
from aldaba.store.ledger import Ledger
from aldaba.store.registry import Loader, RegistryView
from aldaba.web.routes import Dialect

log = structlog.get_logger()

# A new dialect is one folder and one line here.
DIALECTS: Mapping[str, Dialect[Any]] = {dialect.name: dialect for dialect in (FLEET, MOBILITY)}

# The entries of the registry view, by the first part of their names.
LOADERS: Mapping[str, Loader] = {
    "client": clients.load_client,
    "partner": clients.load_partner,
    "keys": keys.load_keys,
    "devices": devices.load_devices,
    "revoked": tokens.is_revoked,
    "settings": tokens.tokens_not_before,
}


def services_of(config: Config) -> dict[str, Service]:
    """Return the configured services by name."""
    return {
        settings.name: Service(
            name=settings.name,
            dialect=settings.dialect,
            shape=DIALECTS[settings.dialect].shape,
            path=settings.path or "",
            host=settings.host or "",
            token_lifetime=settings.token_lifetime,
            requests_per_minute=settings.requests_per_minute,
            old_key_lives=settings.overlap if settings.rotation == "overlap" else timedelta(0),
            networks_required=DIALECTS[settings.dialect].networks_required,
            expose_docs=settings.expose_docs,
        )
        for settings in config.services
    }


@asynccontextmanager
async def open_registrar(config: Config, operator: str) -> AsyncIterator[Registrar]:
    """Open the database for an operator's changes.

    Raises:
        Damaged, StoreUnavailable, MasterKeyError: with what to do.
    """
    secrets = Secrets(load_master_key(config.keys.master_key_file))
    async with open_database(config.database.url.reveal(), timeout_s=10.0) as database:
        yield Registrar(database, Clock(), secrets, operator, services_of(config), _policy(config))


@asynccontextmanager
async def open_core(config: Config) -> AsyncIterator[Core]:
    """Open everything that a serving process decides with, and close it in the reverse order.

    Raises:
        Damaged, StoreUnavailable, MasterKeyError: with what to do.
    """
    clock = Clock()
    secrets = Secrets(load_master_key(config.keys.master_key_file))
    timeout_s = config.database.timeout.total_seconds()
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(
            open_database(config.database.url.reveal(), timeout_s=timeout_s, pool_size=config.database.pool_size)
        )
        registrar = Registrar(database, clock, secrets, f"server {socket.gethostname()}", services_of(config))
        await ensure_keys(registrar)
        core = await _wire(config, database, clock, secrets, stack)
        await registrar.open_writer(core.ledger.writer)
        await core.view.fresh()
        await restore_failures(core)
        tending = asyncio.create_task(upkeep(core, timeout_s, _checkpoint_file(config)))
        stack.push_async_callback(_cancel, tending)
        yield core


async def _wire(config: Config, database: Database, clock: Clock, secrets: Secrets, stack: AsyncExitStack) -> Core:
    view = RegistryView(database, LOADERS, capacity=config.registry.cache_entries)
    stack.push_async_callback(view.close)
    usage = UsageNotes(database)
    stack.push_async_callback(usage.flush)
    chain = EventChain(
        f"{socket.gethostname()}-{os.getpid()}-{new_id()[:13]}",
        secrets.audit_chain,
        secrets.checkpoints,
        checkpoint_every=config.audit.checkpoint_every,
    )
    limits = _limits(config, clock)
    stack.push_async_callback(limits.close)
    ledger = Ledger(database.engine, chain, capacity=config.ledger.capacity, max_batch=config.ledger.max_batch)
    ledger.start()
    stack.push_async_callback(ledger.stop)
    return Core(
        clock=clock,
        database=database,
        view=view,
        ledger=ledger,
        keyring=Keyring(view, secrets.sealing),
        limits=limits,
        usage=usage,
        secrets=secrets,
        trust=_trust(config),
        record_checks=config.audit.checks == "all",
    )


def _trust(config: Config) -> Trust:
    return Trust(config.mtls.anchors, config.mtls.crls, _policy(config))


def _policy(config: Config) -> Policy:
    return Policy(
        accept_absent_extended_key_usage=config.mtls.allow_missing_usage,
        accept_any_extended_key_usage=config.mtls.allow_missing_usage,
        accept_absent_key_usage=config.mtls.allow_missing_usage,
        crl_required=config.mtls.crl_required,
        stale_crl=StaleCrl(config.mtls.crl_stale),
    )


def _checkpoint_file(config: Config) -> CheckpointFile | None:
    return CheckpointFile(config.audit.checkpoint_file) if config.audit.checkpoint_file else None


def _limits(config: Config, clock: Clock) -> Limits:
    url = config.limits.storage.reveal()
    storage = storage_for(url, capacity=config.limits.counters, now=clock.now_s)
    return Limits(storage, clock.now_s, failures_per_minute=config.limits.failures_per_minute, alone=url == "memory")


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
