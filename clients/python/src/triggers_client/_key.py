"""The key that a client's calls carry. Its text is in no attribute, so that nothing shows it."""

from __future__ import annotations

import inspect
import os
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from triggers_client import _arguments
from triggers_client._errors import TriggersError, UnauthenticatedError

ApiKey: TypeAlias = str | Callable[[], str]
AsyncApiKey: TypeAlias = str | Callable[[], str | Awaitable[str]]


class Credentials:
    """What a call says of who makes it: a key, the key that a function gives, or nothing."""

    def __init__(self, api_key: AsyncApiKey | None) -> None:
        if api_key is None:
            api_key = os.environ.get("TRIGGERS_API_KEY") or None
        self._supply: Callable[[], str | Awaitable[str]] | None = None
        if callable(api_key):
            self._supply = api_key
        elif api_key is not None:
            text = _arguments.api_key("api_key", api_key)
            self._supply = lambda: text

    async def metadata(self) -> dict[str, str]:
        """What goes into the metadata of one call."""
        if self._supply is None:
            return {}
        try:
            key = self._supply()
            if inspect.isawaitable(key):
                key = await key
        except Exception as error:
            message = f"the function api_key raised {type(error).__name__}"
            raise UnauthenticatedError("KEY_UNAVAILABLE", message) from error
        return {"authorization": f"Bearer {_arguments.api_key('api_key', key)}"}

    async def other_than(self, refused: str) -> dict[str, str]:
        """The same for a call whose key was refused; nothing when there is no other."""
        try:
            own = await self.metadata()
        except TriggersError:
            return {}
        return own if own.get("authorization", refused) != refused else {}
