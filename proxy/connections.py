"""Node connections: how many one proxy may open to each node, against the maxclients of the nodes.

Pure arithmetic on a Settings, for `quench check`: what is opened at run time is the engines' and the lanes' business,
and bounded by the same numbers. Every proxy of the tier opens as many again, so what counts for a node is how many such
proxies fit.
"""

from msgspec import Struct

from proxy.settings import Pool, Settings

MAXCLIENTS = 10_000  # Redis's default
RESP_VERSIONS = 2
DATABASES = 16  # as clients count them, whatever redis_db adds
KINDS = 2  # shared, and bulk for requests of limits.bulk and more
CONTROL = 2  # of the control plane: a probe, subscriptions


class Burden(Struct, frozen=True):
    """Connections from one proxy to the node at `address`, over all pools that name it."""

    address: str
    usual: int  # with clients of one RESP version in one database, which neither block nor watch
    engines: int  # of the engines, when every RESP version and database is in use, and large requests in each
    private: int  # of clients that block or hold a WATCH, when as many do as may
    control: int

    @property
    def most(self) -> int:
        """All of them at once."""
        return self.engines + self.private + self.control


def burdens(settings: Settings) -> list[Burden]:
    """One for each address, in the order of the file."""
    found: dict[str, Burden] = {}
    for pool in settings.pools:
        for server in pool.nodes or pool.cluster:
            old = found.get(server.address, Burden(server.address, 0, 0, 0, 0))
            found[server.address] = Burden(
                server.address,
                usual=old.usual + settings.engines,
                engines=old.engines + settings.engines * RESP_VERSIONS * DATABASES * KINDS,
                private=old.private + private(pool),
                control=old.control + CONTROL,
            )
    return list(found.values())


def private(pool: Pool) -> int:
    """Clients of `pool` that may have a connection of their own to one node, at most all of them."""
    most = pool.limits.max_blocked + pool.limits.max_watching
    return min(most, pool.client_connections) if pool.client_connections else most


def report(settings: Settings) -> tuple[list[str], list[str]]:
    """(facts, warnings) for people; nodes with the same numbers share a line."""
    alike: dict[tuple[int, ...], list[Burden]] = {}
    for burden in burdens(settings):
        alike.setdefault((burden.usual, burden.engines, burden.private, burden.control), []).append(burden)
    facts, warnings = [], []
    for nodes in alike.values():
        first = nodes[0]
        name = first.address if len(nodes) == 1 else f"each of {len(nodes)} nodes ({first.address}, …)"
        facts.append(
            f"connections to {name}: {first.usual} as a rule, {first.most} at worst ({first.engines} of engines, "
            f"{first.private} of clients that block or watch, {first.control} of the control plane)"
        )
        if first.most > MAXCLIENTS:
            warnings.append(
                f"{name}: {first.most} connections at worst are more than {MAXCLIENTS}, Redis's default maxclients; "
                "raise it there, or lower limits.max_blocked, limits.max_watching or engines"
            )
    worst = max(burden.most for burden in burdens(settings))
    if worst <= MAXCLIENTS:
        times = MAXCLIENTS // worst
        proxies = "1 such proxy" if times == 1 else f"{times} such proxies"
        facts.append(f"maxclients {MAXCLIENTS}, Redis's default, is enough for {proxies}")
    return facts, warnings
