HASHES: tuple[str, ...]
"""The names a pool's `hash` setting may have, twemproxy's own; the index is the kind."""

def hash_name_to_kind(name: str) -> int:
    """The engine's number for a hash name.  Raises ValueError, listing the names, for an unknown one."""

def key_hash(name: str, key: bytes) -> int:
    """The 32-bit hash of `key`, as the bare function gives it.

    A ring hashes an empty key to 0 whatever the function (`Placement.hash`).  Raises ValueError for an unknown name.
    """
