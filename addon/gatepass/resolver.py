"""From a decision to a plan: the credential, the release, and the signed URL where one is needed.

Knows credentials and the API client; knows neither flows nor mitmproxy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .decision import Plan, Resolve, Want, plan

if TYPE_CHECKING:
    from .credentials import Credentials, Secret
    from .github import Asset, GitHub


@dataclass(frozen=True, slots=True)
class Resolution:
    """What is to be done for one request, the asset that it is about, and the secret that it may need."""

    plan: Plan
    asset: Asset
    secret: Secret


class Resolver:
    def __init__(self, credentials: Credentials, github: GitHub) -> None:
        self._credentials = credentials
        self._github = github

    async def resolve(self, request: Resolve, wanted: Want) -> Resolution:
        """Find the asset, and how the client gets what it wants of it.

        Raises:
            Unresolvable: it cannot be had; the problem says why.
        """
        secret = self._credentials.secret(request.credential)
        located = await self._github.locate(request.forge, request.ref, secret)
        signed = None
        if wanted is not Want.ALL:
            signed = await self._github.sign(request.forge, located.api_url, secret)
        return Resolution(plan(wanted, located, signed), located.asset, secret)
