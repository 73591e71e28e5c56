"""What proofs are checked against: the pepper of stored secrets, and the anchors and policy for certificates."""

from collections import OrderedDict
from datetime import datetime

from aldaba.crypto.certificates import CertificateRefused, VerifiedCertificate, Verifier
from aldaba.crypto.master_key import MasterKey
from aldaba.errors import Reason, Refusal
from aldaba.model.peer import Peer


class Secrets:
    """The keys derived from the master key, one for each purpose."""

    def __init__(self, master_key: MasterKey) -> None:
        self.pepper = master_key.derive("stored-secrets")
        self.sealing = master_key.derive("signing-keys")
        self.audit_chain = master_key.derive("audit-chain")
        self.checkpoints = master_key.derive("audit-checkpoints")


class Certificates:
    """Verifies the certificate of a peer, and remembers the chains that held."""

    def __init__(self, verifier: Verifier, *, capacity: int = 10_000) -> None:
        self._verifier = verifier
        self._capacity = capacity
        self._kept: OrderedDict[bytes, VerifiedCertificate] = OrderedDict()

    def verify(self, peer: Peer, at: datetime) -> VerifiedCertificate:
        """Return the peer's certificate, good at this instant: dates and revocation are looked at every time.

        Raises:
            Refusal: `CREDENTIAL_MISSING`, or `CERTIFICATE_REFUSED` with the cause for the operator.
        """
        if peer.certificate is None:
            raise Refusal(Reason.CREDENTIAL_MISSING, "no client certificate", expected="one", seen="none")
        try:
            kept = self._kept.get(peer.certificate)
            if kept is not None:
                self._kept.move_to_end(peer.certificate)
                return self._verifier.check_now(kept, at)
            verified = self._verifier.verify(peer.certificate, peer.chain, at)
        except CertificateRefused as error:
            self._kept.pop(peer.certificate, None)
            raise Refusal(
                Reason.CERTIFICATE_REFUSED, error.detail, expected="a certificate that verifies", seen=error.cause.value
            ) from error
        self._kept[peer.certificate] = verified
        if len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return verified
