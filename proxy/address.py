"""Addresses: where a pool listens and where a node is, read from the one-line forms that twemproxy uses.

Owns the grammar of `listen:` and of an entry of `servers:`, and the label under which a node is put on the ring. The
label decides where every key lives, so it follows twemproxy 0.5.0 to the byte: the address is kept exactly as it was
written (no DNS, no normalisation: `localhost:6379` and `127.0.0.1:6379` are different nodes).

    listen:   host:port | [ipv6]:port | /path [mode]          mode in octal, e.g. 0770
    servers:  host:port[:weight] [name] | [ipv6]:port[:weight] [name] | /path[:weight] [name]
"""

import re
from ipaddress import IPv6Address

from msgspec import Struct

# twemproxy leaves this port, memcached's, out of a label: libmemcached did.
UNLABELLED_PORT = 11211
MOST_WEIGHT = (1 << 31) - 1

_NUMBER = re.compile(r"[0-9]{1,10}")


class Listen(Struct, frozen=True):
    """Where a pool accepts clients: `host` and `port` (0: any free one), or a unix socket at `path`."""

    host: str = ""
    port: int = 0
    path: str = ""
    mode: int | None = None  # permission bits of the unix socket; None leaves them to the umask

    def __str__(self) -> str:
        if self.path:
            return self.path if self.mode is None else f"{self.path} {self.mode:04o}"
        return join_host(self.host, self.port)


class Server(Struct, frozen=True):
    """One entry of `servers:`: a node's address exactly as written, without the weight and name, and those two.

    `replicas` follow it: servers without a weight and without replicas of their own, which have no place on the ring.
    """

    address: str
    weight: int = 1
    name: str | None = None
    replicas: tuple["Server", ...] = ()

    @property
    def path(self) -> str:
        """The unix socket, or "" for a node reached by TCP."""
        return self.address if self.address.startswith("/") else ""

    @property
    def host(self) -> str:
        """The host name or IP address, without brackets; "" for a unix socket."""
        return "" if self.path else self.address.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        """The TCP port; 0 for a unix socket."""
        return 0 if self.path else int(self.address.rpartition(":")[2] or 0)

    @property
    def label(self) -> str:
        """What is hashed to place this node: the name, else the address by twemproxy's rules."""
        if self.name is not None:
            return self.name
        if self.path:
            return self.path + ":"  # host and port are joined by a colon, and the port of a unix socket is empty
        if self.port == UNLABELLED_PORT:
            return self.address.rpartition(":")[0]
        return self.address

    def __str__(self) -> str:
        line = f"{self.address}:{self.weight}"
        return line if self.name is None else f"{line} {self.name}"


def join_host(host: str, port: int) -> str:
    """`host:port`, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_listen(text: str) -> Listen:
    """Read a `listen:` value. Raises ValueError with advice."""
    if text.startswith("/"):
        path, _, mode = text.partition(" ")
        mode = mode.strip()
        if not _is_word(path):
            raise ValueError(f"expected the path of a unix socket, got '{path}'")
        if mode and not re.fullmatch(r"0?[0-7]{3}", mode):
            raise ValueError(f"expected permissions in octal like 0770 after the path, got '{mode}'")
        return Listen(path=path, mode=int(mode, 8) if mode else None)
    host, port = _split_host(text, least_port=0)
    return Listen(host=host.strip("[]"), port=int(port))


def parse_server(text: str) -> Server:
    """Read an entry of `servers:` in its one-line form. Raises ValueError with advice."""
    address, _, name = text.strip().partition(" ")
    head, _, tail = address.rpartition(":")
    weight = 1
    # Read from the right, as twemproxy does: the last number is a weight if a port (or a unix path) stands before it.
    if head and _NUMBER.fullmatch(tail) and (head.startswith("/") or re.search(r":[0-9]+$", head)):
        address, weight = head, int(tail)
    return make_server(address, weight, name.strip() or None)


def parse_replica(text: str) -> Server:
    """Read one entry of a node's `replicas:`, an address and perhaps a name. Raises ValueError with advice."""
    address, _, name = text.strip().partition(" ")
    return make_server(address, 1, name.strip() or None)


def parse_weight(text: str) -> int:
    """Read a weight. Raises ValueError with advice."""
    if not _NUMBER.fullmatch(text):
        raise ValueError(f"a weight is a whole number from 1, got '{text}'")
    return int(text)


def make_server(address: str, weight: int = 1, name: str | None = None, replicas: tuple[Server, ...] = ()) -> Server:
    """A checked Server, whose line can be written down and read again. Raises ValueError with advice."""
    if not 1 <= weight <= MOST_WEIGHT:
        raise ValueError(f"a weight is a whole number from 1, got {weight}; to take a server out, delete its line")
    if name is not None and not _is_word(name):
        raise ValueError(f"a name is one word, got '{name}'")
    if not address.startswith("/"):
        _split_host(address, least_port=1)
    elif not _is_word(address) or len(address) == 1 or address.endswith(":"):
        raise ValueError(f"expected the path of a unix socket, got '{address}'")
    return Server(address, weight, name, replicas)


def _split_host(text: str, least_port: int) -> tuple[str, str]:
    """Host (brackets kept) and port (digits, as written)."""
    host, _, port = text.rpartition(":")
    if not _is_word(host) or not _NUMBER.fullmatch(port):
        raise ValueError(f"expected host:port, got '{text}'")
    if not least_port <= int(port) <= 65535:
        raise ValueError(f"a port is a number from {least_port} to 65535, got {port}")
    literal = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in host and not _is_ipv6(literal):
        raise ValueError(f"expected host:port, got '{text}'; an IPv6 address goes in brackets: [::1]:6379")
    return host, port


def _is_word(text: str) -> bool:
    """Can be written in one line among others: not empty, no white space, nothing invisible."""
    return bool(text) and text.isprintable() and " " not in text


def _is_ipv6(host: str) -> bool:
    try:
        IPv6Address(host)
    except ValueError:
        return False
    return True
