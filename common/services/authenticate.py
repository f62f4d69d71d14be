"""Who presents a token: tokens are shown once and kept as a hash, and the tenant follows from the token alone."""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from uuid import UUID

from common.domain.errors import InvalidInput, Permanent
from common.services.fleet import Fleet
from common.services.tenants import find_tenant

READ = "read"
_NAME_LENGTH_MAX = 64


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; `tenant_id` is None for the operator, who may see every tenant."""

    name: str
    tenant_id: UUID | None
    scopes: frozenset[str]

    @property
    def is_operator(self) -> bool:
        """Whether every tenant may be seen."""
        return self.tenant_id is None


def issue_token(fleet: Fleet, tenant: str, name: str) -> str:
    """A new token that sees `tenant` only; Permanent when the name was ever taken. It cannot be shown again."""
    if not name or len(name) > _NAME_LENGTH_MAX:
        raise InvalidInput("name", name, f"1 to {_NAME_LENGTH_MAX} characters")
    owner = find_tenant(fleet, tenant)
    token = fleet.ids.token()
    now = fleet.clock.now()
    with fleet.store.unit_of_work(owner.id) as uow:
        uow.tokens.add(hash_of(token), owner.id, name, {READ}, now)
        uow.audit.append("token", name, {"issued_for": owner.name}, now)
        uow.commit()
    return token


def authenticate(fleet: Fleet, token: str, operator_token: str | None) -> Caller:
    """The bearer of `token`; raises Permanent when it is nobody's.

    The operator's token comes from the settings and is compared in constant time; a tenant's is found by its hash.
    """
    if operator_token and hmac.compare_digest(hash_of(token), hash_of(operator_token)):
        return Caller("operator", None, frozenset({READ}))
    with fleet.store.unit_of_work(None) as uow:
        bearer = uow.tokens.find(hash_of(token))
    if bearer is None:
        raise Permanent("the token is not known here, or it was revoked")
    return Caller(bearer.name, bearer.tenant_id, bearer.scopes)


def hash_of(token: str) -> bytes:
    """What is kept of a token; tokens are 256 random bits, so no salt is needed against guessing."""
    return hashlib.sha256(token.encode()).digest()
