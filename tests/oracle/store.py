"""The storage node as a dict: the naive twin that tests compare it with.

Keys to (value, expiry in ms or None); time is an argument. Obvious rather than quick.
"""

from dataclasses import dataclass, field


@dataclass
class Store:
    keys: dict[bytes, tuple[bytes, int | None]] = field(default_factory=dict)

    def live(self, now_ms: int) -> dict[bytes, bytes]:
        """Keys whose time is not over."""
        return {key: value for key, (value, expiry) in self.keys.items() if expiry is None or expiry > now_ms}

    def set(self, key: bytes, value: bytes, expiry: int | None = None) -> None:
        self.keys[key] = (value, expiry)

    def delete(self, key: bytes) -> bool:
        return self.keys.pop(key, None) is not None

    def expire(self, key: bytes, expiry: int) -> bool:
        if key not in self.keys:
            return False
        self.keys[key] = (self.keys[key][0], expiry)
        return True

    def persist(self, key: bytes) -> bool:
        value, expiry = self.keys.get(key, (b"", None))
        if expiry is None:
            return False
        self.keys[key] = (value, None)
        return True

    def rename(self, old: bytes, new: bytes) -> bool:
        if old not in self.keys:
            return False
        self.keys[new] = self.keys.pop(old)
        return True
