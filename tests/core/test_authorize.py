"""May this credential act now: each check by itself, at its edges (threats section 1, rule 2)."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from aldaba.core.authorize import CHECKS, may_act
from aldaba.dialects.fleet.routes import FLEET
from aldaba.errors import Reason, Refusal
from aldaba.model.calls import Call, Known, Proven
from aldaba.model.networks import Network, parse_address
from aldaba.model.parties import (
    Client,
    ClientStatus,
    Credential,
    CredentialKind,
    CredentialStatus,
    Partner,
    PartnerStatus,
)
from aldaba.model.peer import Peer
from aldaba.model.services import Service
from tests.core.test_matrix import STATES

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)

PARTNER = Partner(id="p", name="Acme", created_at=NOW)
CREDENTIAL = Credential(id="k", client_id="c", kind=CredentialKind.API_KEY, version=1, hint="", created_at=NOW)
CLIENT = Client(id="c", partner_id="p", name="acme", services=("fleet",), created_at=NOW, credentials=(CREDENTIAL,))
SERVICE = Service(name="fleet", dialect="fleet", shape=FLEET.shape)


def decide(
    *,
    partner: dict[str, Any] | None = None,
    client: dict[str, Any] | None = None,
    credential: dict[str, Any] | None = None,
    service: dict[str, Any] | None = None,
    address: str = "192.0.2.7",
) -> Reason | None:
    """Return why the client may not act; None when it may. A refusal without words for the operator is none."""
    proven = Proven(
        msgspec.structs.replace(CLIENT, **(client or {})),
        msgspec.structs.replace(PARTNER, **(partner or {})),
        msgspec.structs.replace(CREDENTIAL, **(credential or {})),
    )
    asked = msgspec.structs.replace(SERVICE, **(service or {}))
    call = Call("id", asked, Peer(parse_address(address)), "token.issue", Known())
    try:
        assert proven is may_act(call, proven, NOW)
    except Refusal as refusal:
        return refusal.reason if refusal.expected and refusal.seen else None
    return None


def test_one_with_nothing_against_it_may_act() -> None:
    assert decide() is None


def test_the_state_of_each_party_counts() -> None:
    assert Reason.PARTNER_SUSPENDED is decide(partner={"status": PartnerStatus.SUSPENDED})
    assert Reason.CLIENT_DISABLED is decide(client={"status": ClientStatus.DISABLED})
    assert Reason.CREDENTIAL_REVOKED is decide(credential={"status": CredentialStatus.REVOKED})


@pytest.mark.parametrize(
    "not_before_at, not_after_at, reason",
    [
        (None, None, None),
        (NOW, None, None),
        (NOW + MOMENT, None, Reason.CREDENTIAL_NOT_YET_VALID),
        (None, NOW + MOMENT, None),
        (None, NOW, Reason.CREDENTIAL_EXPIRED),
        (None, NOW - MOMENT, Reason.CREDENTIAL_EXPIRED),
        (NOW + MOMENT, NOW, Reason.CREDENTIAL_NOT_YET_VALID),
    ],
)
def test_a_credential_is_good_from_its_first_instant_until_before_its_last(
    not_before_at: datetime | None, not_after_at: datetime | None, reason: Reason | None
) -> None:
    assert reason is decide(credential={"not_before_at": not_before_at, "not_after_at": not_after_at})


def test_a_client_uses_the_services_it_has() -> None:
    assert decide(client={"services": ("other", "fleet")}) is None
    assert Reason.SERVICE_NOT_ALLOWED is decide(client={"services": ("other",)})
    assert Reason.SERVICE_NOT_ALLOWED is decide(client={"services": ()})
    assert Reason.SERVICE_NOT_ALLOWED is decide(client={"services": ("fleet2",)})


@pytest.mark.parametrize(
    "networks, required, address, allowed",
    [
        (None, False, "192.0.2.7", True),
        (None, True, "192.0.2.7", False),
        ([], False, "192.0.2.7", False),
        ([], True, "192.0.2.7", False),
        (["192.0.2.7"], True, "192.0.2.7", True),
        (["192.0.2.0/24"], True, "192.0.2.7", True),
        (["192.0.2.0/24"], False, "192.0.3.7", False),
        (["198.51.100.0/24", "192.0.2.0/24"], True, "192.0.2.7", True),
        (["192.0.2.0/24"], True, "::ffff:192.0.2.7", True),
        (["::ffff:192.0.2.0/120"], True, "192.0.2.7", True),
        (["2001:db8::/32"], True, "2001:db8::7", True),
        (["2001:db8::/32"], True, "192.0.2.7", False),
        # The same bits in the other family are another address.
        (["192.0.2.7"], True, "::c000:207", False),
    ],
)
def test_d6_d7_an_address_is_looked_for_among_the_registered_networks(
    networks: Sequence[str] | None, required: bool, address: str, allowed: bool
) -> None:
    parsed = None if networks is None else tuple(Network.parse(network) for network in networks)
    reason = decide(client={"networks": parsed}, service={"networks_required": required}, address=address)

    assert (None if allowed else Reason.ADDRESS_NOT_ALLOWED) is reason


def test_of_several_reasons_the_first_in_the_order_is_told() -> None:
    everything: dict[str, Any] = {
        "partner": {"status": PartnerStatus.SUSPENDED},
        "client": {"status": ClientStatus.DISABLED, "services": (), "networks": ()},
        "credential": {"status": CredentialStatus.REVOKED, "not_before_at": NOW + MOMENT, "not_after_at": NOW},
    }

    assert CHECKS[0].reason is decide(**everything)
    assert Reason.CLIENT_DISABLED is decide(**everything | {"partner": {}})
    assert Reason.CREDENTIAL_REVOKED is decide(**everything | {"partner": {}, "client": {"services": ()}})


def test_every_check_has_a_state_in_the_matrix() -> None:
    """A check that no state of the matrix fails is one that a route could forget."""
    checks = {check.reason for check in CHECKS}

    assert set() == checks - {state.with_credential for state in STATES.values()}
    assert set() == checks - {state.with_token for state in STATES.values()}
