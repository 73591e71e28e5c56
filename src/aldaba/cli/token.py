"""`aldaba token`: the tokens handed out.

A token is a secret: it comes from a file or standard input, and never as a word of the command line.
"""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, Parameter

from aldaba.cli.context import Cli
from aldaba.cli.failures import Misuse, Told
from aldaba.cli.files import read_secret
from aldaba.cli.output import Field, text_of
from aldaba.cli.token_issue import issue_token
from aldaba.core import tokens
from aldaba.core.tokens import Inspected

app = App(name="token")

FIELDS = (
    Field("service"),
    Field("state"),
    Field("reasons", lambda reasons: text_of([reason.replace("_", " ") for reason in reasons])),
    Field("expires_at"),
    Field("handle"),
    Field("claims"),
)
ISSUED = (
    Field("service"),
    Field("client"),
    Field("issued_at"),
    Field("expires_at"),
    Field("handle"),
    Field("request_id"),
    Field("token"),
)


@app.command(
    help_epilogue="""\
Example:
  aldaba token issue --client acme-fleet --service fleet < acme.key

The key goes through every check that it goes through when it comes over the network, from this machine's own address
(127.0.0.1), and a refusal counts and is recorded like any other."""
)
async def issue(
    *, client: str, service: str, key_file: Path | None = None, certificate: Path | None = None, cli: Cli
) -> None:
    """Issue a token for a client that shows its API key.

    Args:
        client: the client's name.
        service: the service that the token is for.
        key_file: where the API key is; standard input when not given.
        certificate: refused, since a certificate proves nothing without the connection it was used in.
    """
    if certificate is not None:
        raise Misuse(
            "a certificate is no secret, so its file proves nothing; the client gets its token over a connection that"
            " it makes with the certificate's key, such as: curl --cert FILE --key FILE URL"
        )
    key = read_secret(cli, key_file, "API key")
    issued = await issue_token(cli, client, service, key)
    cli.done(issued["token"], issued, ISSUED)
    cli.note(f"good until {text_of(issued['expires_at'])}, handle {issued['handle']}")


@app.command(
    help_epilogue="""\
Example:
  aldaba token inspect < token.txt

Ends with status 1 when the token is refused now, from whatever address, or was not issued here."""
)
async def inspect(*, file: Path | None = None, cli: Cli) -> None:
    """Show what a token of this installation says, and whether it is still good.

    Args:
        file: where the token is; standard input when not given.
    """
    text = read_secret(cli, file, "token")
    async with cli.registrar() as registrar:
        found = await tokens.inspect_token(registrar, text)
    cli.show(_record(found), FIELDS)
    if found.refused:
        raise Told


@app.command(
    help_epilogue="""\
Example:
  aldaba token revoke < token.txt
  aldaba token revoke --handle 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
  aldaba token revoke --all"""
)
async def revoke(
    *,
    file: Path | None = None,
    handle: str | None = None,
    everything: Annotated[bool, Parameter(name="--all")] = False,
    cli: Cli,
) -> None:
    """Refuse a token from the next request on.

    Args:
        file: where the token is; standard input when not given.
        handle: the token's SHA-256, as the audit log shows it, instead of the token.
        everything: every token of every client issued before now.
    """
    if [file is not None, handle is not None, everything].count(True) > 1:
        raise Misuse("--file, --handle and --all exclude each other; give one of them")
    if everything:
        await end_all(cli)
        return
    text = None if handle is not None else read_secret(cli, file, "token")
    async with cli.registrar() as registrar:
        if handle is not None:
            await tokens.revoke_handle(registrar, handle)
        elif text is not None:
            handle = (await tokens.revoke_token(registrar, text)).handle
    cli.done(f"token {handle} is revoked", {"handle": handle})


async def end_all(cli: Cli) -> None:
    """Refuse every token issued before now."""
    async with cli.registrar() as registrar:
        at = await tokens.end_all_tokens(registrar)
    cli.done(f"every token issued before {text_of(at)} is refused; clients get new ones", {"tokens_not_before_at": at})


def _record(found: Inspected) -> dict[str, Any]:
    return {
        "service": found.service,
        "state": "refused" if found.refused else "good",
        "reasons": [reason.value for reason in found.refused],
        "expires_at": found.expires_at,
        "handle": found.handle,
        "claims": dict(found.claims),
    }
