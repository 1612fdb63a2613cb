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
    ) -> None: ...
    def configure(self, name: bytes, value: bytes) -> None: ...
    def load(self) -> bool: ...
    def run(self) -> None: ...
    def stop(self) -> None: ...
