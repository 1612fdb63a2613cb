"""Types of the compiled module loop.pyx."""

class Loop:
    """A node's keyspace, sockets and event loop."""

    def __init__(
        self,
        listener: int,
        *,
        bind: bytes,
        port: int,
        maxmemory: int,
        password: bytes | None,
        run_id: bytes,
        seed: int,
        maxclients: int,
        aclfile: bytes | None = None,
        deny: list[bytes] = ...,
    ) -> None: ...
    def run(self) -> None: ...
    def stop(self) -> None: ...
