"""Types of the compiled module loop.pyx."""

from storenode.handshake import Wish

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
        renamed: list[tuple[bytes, bytes]] = ...,
    ) -> None: ...
    def configure(self, name: bytes, value: bytes) -> None: ...
    def load(self) -> bool: ...
    def run(self) -> None: ...
    def stop(self) -> None: ...
    def link_orders(self) -> int: ...
    def link_wish(self) -> Wish | None: ...
    def link_offer(self, *, number: int, fd: int, whole: bool, stream: bytes, offset: int, rest: bytes) -> None: ...
