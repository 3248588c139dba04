"""A core that requires keys, and the keys that scenarios name."""

from support.keys import id_of, make_key
from support.network import free_url, wait_until
from support.rpc import BareClient, RpcError
from support.services import Core

EVENTS = ["SCOPE_EVENTS_WRITE", "SCOPE_EVENTS_READ", "SCOPE_EVENTS_ACK"]
SUBSCRIPTIONS = ["SCOPE_SUBSCRIPTIONS_CONSUME", "SCOPE_SUBSCRIPTIONS_MANAGE"]
TENANT = "default"


class KeyedCore:
    """`variables` are those of its scenarios: `keyed_url`, keys, and `foreign_id`, the id of an event that
    `restricted_key` may not see. `key` is to be its operator's."""

    def __init__(self, folder, store_url, key):
        folder.mkdir()
        self._core = Core(
            folder,
            TRIGGERS_LISTEN=free_url("ws"),
            TRIGGERS_AUTH="required",
            TRIGGERS_OPERATOR_KEY=key,
            DATABASE_URL=store_url,
        )
        try:
            self._core.wait_serving()
            self._operator = BareClient(self._core.url, key=key)
            self._key_file = folder / "key"
            self._key_file.write_text(self._make("in a file", [*EVENTS, *SUBSCRIPTIONS]))
            self.variables = {
                "keyed_url": self._core.url,
                "key": key,
                "wrong_key": make_key(),
                "reading_key": self._make("reading", ["SCOPE_EVENTS_READ"]),
                "restricted_key": self._make("restricted", EVENTS, sources=["only"]),
                "old_key": self._make("old", EVENTS),
                "new_key": self._make("new", EVENTS),
                "worker_key": self._make("worker", [*EVENTS, *SUBSCRIPTIONS]),
                "key_file": str(self._key_file),
                "foreign_id": self._operator.create(source="crm").event_id,
            }
        except BaseException:
            self._core.stop()
            raise

    def _make(self, name, scopes, **fields):
        """The text of a new key."""
        return self._operator.access("CreateKey", tenant=TENANT, name=name, scopes=scopes, **fields).key

    def revoke(self, key):
        """Revokes a key and waits until it is refused."""
        self._operator.access("RevokeKey", tenant=TENANT, key_id=id_of(key))
        with BareClient(self._core.url, key=key) as client:

            def refused():
                try:
                    client.event("GetEvent", event_id=self.variables["foreign_id"])
                except RpcError as error:
                    return error.reason == "KEY_INVALID"
                return False

            wait_until(refused, "the key refused")

    def rotate_file(self, event=None):
        """Puts the next key into the file, as one should, and at once revokes the one that was there; then
        creates an event."""
        old = self._key_file.read_text()
        made = self._operator.access("RotateKey", tenant=TENANT, key_id=id_of(old), overlap_seconds=3600)
        beside = self._key_file.with_suffix(".new")
        beside.write_text(made.key)
        beside.rename(self._key_file)
        self.revoke(old)
        if event:
            self._operator.create(**event)

    def close(self):
        self._operator.close()
        self._core.stop()
