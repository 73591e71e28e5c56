"""Who calls: every kind of credential comes through this one door, and only the proof differs."""

import asyncio
from datetime import datetime

from aldaba.core import Core
from aldaba.core.authorize import may_act
from aldaba.crypto import hashing
from aldaba.errors import Reason, Refusal
from aldaba.model import networks
from aldaba.model.calls import Call, Evidence, NameAndKey, PeerCertificate, Proven
from aldaba.model.parties import Client, Credential, CredentialKind, CredentialStatus, canonical_name

# A wrong key is refused so long after it arrived, and not before: a name that the process remembers is looked up in no
# time, one that nobody has must be looked for in the database, and a stopwatch would tell them apart (threats B1).
REFUSED_AFTER_S = 0.05


async def authenticate(core: Core, call: Call, evidence: Evidence, at: datetime) -> Proven:
    """Return the client that the evidence proves and that may act now.

    Raises:
        Refusal: it proves nobody, or one who may not act.
    """
    match evidence:
        case NameAndKey():
            return await _by_key(core, call, evidence, at)
        case PeerCertificate():
            return await _by_certificate(core, call, at)


# -- a name and an API key --------------------------------------------------------------------------------------------


async def _by_key(core: Core, call: Call, evidence: NameAndKey, at: datetime) -> Proven:
    loop = asyncio.get_running_loop()
    refused_at_s = loop.time() + REFUSED_AFTER_S
    try:
        return await _proven_by_key(core, call, evidence, at)
    except Refusal:
        await asyncio.sleep(refused_at_s - loop.time())
        raise


async def _proven_by_key(core: Core, call: Call, evidence: NameAndKey, at: datetime) -> Proven:
    name = canonical_name(evidence.name)
    call.known.client = evidence.name
    client: Client | None = await core.view.get("client", name)
    partner = await core.view.get("partner", client.partner_id) if client else None
    if client is not None:
        # However it was spelt and padded: failures are counted by it, and restored from the log by it.
        call.known.client = client.name

    # From here to the verdict nothing waits on the counters of one process, so parallel tries count one by one.
    async with core.limits.attempt(call.service.name, name, networks.prefix_of(call.peer.address)):
        credential = _matching_key(core, client, evidence)
        if client is None or partner is None or credential is None:
            raise Refusal(Reason.CLIENT_UNKNOWN, expected="the name of a registered client", seen="an unknown one")
        _note(call, client, credential)
        return may_act(call, Proven(client, partner, credential), at)


def _matching_key(core: Core, client: Client | None, evidence: NameAndKey) -> Credential | None:
    # An unknown name costs the same hash (threats B1).
    digests = {key.digest: key for key in client.credentials if key.digest is not None} if client else {}
    try:
        index = hashing.verify_secret(core.secrets.pepper, evidence.key, stored := tuple(digests))
    except hashing.WrongSecret as error:
        if client is None:
            return None
        raise Refusal(Reason.CREDENTIAL_WRONG, expected="a key of this client", seen="another one") from error
    return digests[stored[index]]


# -- the certificate of the connection --------------------------------------------------------------------------------


async def _by_certificate(core: Core, call: Call, at: datetime) -> Proven:
    verified = core.trust.certificates.verify(call.peer, at)
    call.known.client = verified.common_name
    client: Client | None = await core.view.get("client", canonical_name(verified.common_name))
    if client is None or client.name != verified.common_name:
        raise Refusal(Reason.CLIENT_UNKNOWN, expected="the exact CN of a registered client", seen="an unknown one")
    partner = await core.view.get("partner", client.partner_id)
    credential = _registered(client, verified.key_sha256.hex(), verified.issuer_key_sha256.hex())
    _note(call, client, credential)
    return may_act(call, Proven(client, partner, credential, verified.x5t_s256), at)


def _registered(client: Client, key: str, issuer_key: str) -> Credential:
    registered = [
        credential
        for credential in client.credentials
        if credential.kind is CredentialKind.CERTIFICATE
        and (credential.key_sha256 == key or credential.issuer_key_sha256 == issuer_key)
    ]
    if not registered:
        raise Refusal(
            Reason.CERTIFICATE_NOT_REGISTERED,
            expected="a registered key, or a certificate of a registered issuer key",
            seen=f"key sha256:{key}, issuer key sha256:{issuer_key}",
        )
    # A key that was revoked and registered again is good again; one that is only revoked is found and refused.
    return next((one for one in registered if one.status is CredentialStatus.ACTIVE), registered[0])


def _note(call: Call, client: Client, credential: Credential) -> None:
    call.known.client = client.name
    call.known.partner = client.partner_id
    call.known.credential = credential.id
