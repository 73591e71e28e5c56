"""Why a request was refused: each check that was made, what was expected and what was seen, and no secret."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from aldaba.core import Core
from aldaba.core.audit import record_refusal
from aldaba.core.authorize import CHECKS
from aldaba.core.clients import add_client, disable_client, set_networks
from aldaba.core.credentials import add_api_key, revoke_credential
from aldaba.core.explain import AT_TOKEN, QUESTIONS, WITH_TOKEN, Explanation, Step, explain
from aldaba.core.issue import issue
from aldaba.core.partners import add_partner, suspend_partner
from aldaba.core.registrar import Registrar
from aldaba.core.tokens import end_all_tokens, revoke_token
from aldaba.core.verify import verify
from aldaba.errors import Impossible, Reason, Refusal
from aldaba.model.calls import Call, NameAndKey, PeerCertificate
from aldaba.store import audit
from tests.installation import Installation, fleet_client, install, mobility_client

pytestmark = pytest.mark.anyio


async def explained(registrar: Registrar, call: Call) -> Explanation:
    (explanation,) = await explain(registrar, call.id)
    return explanation


# -- whatever the reason ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["token.issue", "devices.list"])
@pytest.mark.parametrize("service", ["fleet", "mobility"])
@pytest.mark.parametrize("reason", Reason)
async def test_a_refusal_is_the_last_step_after_those_that_passed(
    reason: Reason, service: str, action: str, sqlite_installation: Installation
) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        call = installation.call(service, action=action)
        await record_refusal(core, call, Refusal(reason, "the detail", expected="this", seen="that"))
        found = await explained(registrar, call)

        assert ("refused", reason.value, action, "the detail") == (
            found.outcome,
            found.reason,
            found.action,
            found.detail,
        )
        assert Step(QUESTIONS[reason], passed=False, expected="this", seen="that") == found.steps[-1]
        assert all(step.passed for step in found.steps[:-1])
        order = [QUESTIONS[check] for check in (AT_TOKEN if action == "token.issue" else WITH_TOKEN)]
        asked = [step.question for step in found.steps]
        assert [question for question in order if question in asked] == asked or [QUESTIONS[reason]] == asked


def test_the_checks_of_may_act_stand_in_their_order() -> None:
    acting = [check.reason for check in CHECKS]

    for order in (AT_TOKEN, WITH_TOKEN):
        assert acting == [reason for reason in order if reason in acting]


# -- refusals as they come --------------------------------------------------------------------------------------------


Change = Callable[[Registrar, str], Awaitable[object]]


CHANGES: dict[Reason, Change] = {
    Reason.PARTNER_SUSPENDED: lambda registrar, _: suspend_partner(registrar, "Acme"),
    Reason.CLIENT_DISABLED: lambda registrar, _: disable_client(registrar, "acme"),
    Reason.CREDENTIAL_REVOKED: revoke_credential,
    Reason.ADDRESS_NOT_ALLOWED: lambda registrar, _: set_networks(registrar, "acme", ["192.0.2.0/24"]),
}


@pytest.mark.parametrize("reason", CHANGES)
async def test_who_may_not_act_is_explained_at_the_token_and_with_one(
    reason: Reason, installation: Installation
) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        first = installation.call()
        token = (await issue(core, first, shown)).text
        assert first.known.credential is not None
        await CHANGES[reason](registrar, first.known.credential)
        calls = installation.call(), installation.call(action="devices.list")
        await refused(core, calls[0], issue(core, calls[0], shown))
        await refused(core, calls[1], verify(core, calls[1], token))

        for call in calls:
            found = await explained(registrar, call)
            assert (reason.value, "acme", first.known.credential) == (found.reason, found.client, found.credential)
            assert found.steps[-1].expected
            assert found.steps[-1].seen
            assert QUESTIONS[Reason.CLIENT_UNKNOWN if call is calls[0] else Reason.TOKEN_EXPIRED] in passed(found)
            assert shown.key not in repr(found)
            assert token not in repr(found)


async def refused(core: Core, call: Call, work: Awaitable[object]) -> None:
    """Let something be refused, and record that as the mount does."""
    with pytest.raises(Refusal) as refusal:
        await work
    await record_refusal(core, call, refusal.value)


def passed(found: Explanation) -> list[str]:
    return [step.question for step in found.steps if step.passed]


@pytest.mark.parametrize(
    "evidence, reason, seen",
    [
        (lambda shown: NameAndKey("nobody", shown.key), Reason.CLIENT_UNKNOWN, "an unknown one"),
        (lambda shown: NameAndKey("acme", "aldk_wrong"), Reason.CREDENTIAL_WRONG, "another one"),
    ],
)
async def test_unknown_and_wrong_are_told_apart_here_and_nowhere_else(
    evidence: Callable[[NameAndKey], NameAndKey], reason: Reason, seen: str, sqlite_installation: Installation
) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        call, again = installation.call(), installation.call()
        await refused(core, call, issue(core, call, evidence(shown)))
        await refused(core, again, issue(core, again, evidence(shown)))
        found, waiting = await explained(registrar, call), await explained(registrar, again)

        assert (reason.value, seen) == (found.reason, found.steps[-1].seen)
        assert Reason.TOO_MANY_FAILURES.value == waiting.reason
        assert "1 s left to wait" == waiting.steps[-1].seen
        assert QUESTIONS[reason] not in passed(waiting)
        assert shown.key not in repr((found, waiting))


async def test_too_many_requests_are_explained(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        await add_partner(registrar, "Acme")
        await add_client(registrar, "acme", partner="Acme", services=["fleet"], requests_per_minute=1)
        shown = NameAndKey("acme", (await add_api_key(registrar, "acme")).secret.reveal())
        await issue(core, installation.call(), shown)
        call = installation.call()
        await refused(core, call, issue(core, call, shown))
        found = await explained(registrar, call)

        assert ("at most 1 requests in a minute", "2") == found.steps[-1][2:]
        assert QUESTIONS[Reason.ADDRESS_NOT_ALLOWED] in passed(found)


async def test_tokens_that_are_not_good_are_explained_without_them(sqlite_installation: Installation) -> None:
    installation = sqlite_installation
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        one, other = [(await issue(core, installation.call(), shown)).text for _ in range(2)]
        await revoke_token(registrar, one)
        await end_all_tokens(registrar)
        reasons = []
        for token in (one, other, one[:-4] + "AAAA", one.replace("eyJ", "eyK", 1), "a.b", "x" * 5000):
            call = installation.call(action="devices.list")
            await refused(core, call, verify(core, call, token))
            found = await explained(registrar, call)
            reasons.append(found.reason)
            assert found.steps[-1].expected
            assert found.steps[-1].seen
            assert not any(part in repr(found) for part in token.split(".") if len(part) > 20)

        revoked, incorrect, unparsable = Reason.TOKEN_REVOKED, Reason.TOKEN_INCORRECT, Reason.TOKEN_UNPARSABLE
        assert [revoked, revoked, incorrect, unparsable, unparsable, unparsable] == reasons


async def test_certificates_are_explained_by_their_keys(migrated_sqlite: str, tmp_path: Path) -> None:
    installation = install(tmp_path, migrated_sqlite, with_authority=True)
    certificate, another = installation.authority.client("beacon"), installation.authority.client("beacon")
    async with installation.registrar() as registrar, installation.core() as core:
        await mobility_client(registrar, certificate)
        call = installation.call("mobility", certificate=another)
        await refused(core, call, issue(core, call, PeerCertificate()))
        found = await explained(registrar, call)

        assert (Reason.CERTIFICATE_NOT_REGISTERED.value, "beacon") == (found.reason, found.client)
        assert "key sha256:" in found.steps[-1].seen
        assert [QUESTIONS[Reason.CREDENTIAL_MISSING], QUESTIONS[Reason.CERTIFICATE_REFUSED]] == [
            question for question in passed(found) if "certificate" in question or "credential was" in question
        ]


# -- what was not refused ---------------------------------------------------------------------------------------------


async def test_an_issued_token_has_passed_every_check(installation: Installation) -> None:
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        call = installation.call()
        token = (await issue(core, call, shown)).text
        found = await explained(registrar, call)

        assert ("granted", None, "acme") == (found.outcome, found.reason, found.client)
        assert len(found.steps) > 10
        assert len(found.steps) == len(passed(found))
        assert token not in repr(found)


async def test_checks_that_passed_are_explained_where_they_are_recorded(migrated_sqlite: str, tmp_path: Path) -> None:
    installation = install(tmp_path, migrated_sqlite, {"ALDABA_AUDIT_CHECKS": "all"})
    async with installation.registrar() as registrar, installation.core() as core:
        shown = await fleet_client(registrar)
        token = (await issue(core, installation.call(), shown)).text
        call = installation.call(action="devices.list")
        await verify(core, call, token)

        assert ("granted", "devices.list") == (await explained(registrar, call))[3:1:-1]


async def test_a_change_is_told_without_checks(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar:
        await fleet_client(registrar)
        (*_, change) = await registrar.database.read(lambda connection: audit.list_events(connection, limit=3))
        (found,) = await explain(registrar, change.request_id)

        assert ("partner.add", "changed", []) == (found.action, found.outcome, list(found.steps))


async def test_an_unknown_id_is_said_to_be_that(sqlite_installation: Installation) -> None:
    async with sqlite_installation.registrar() as registrar:
        with pytest.raises(Impossible, match="no event has the request id 'nothing'"):
            await explain(registrar, "nothing")
