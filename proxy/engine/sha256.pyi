def sha256_digest(message: bytes) -> bytes:
    """The 32 bytes of SHA-256, as `hashlib.sha256(message).digest()`; for tests."""
