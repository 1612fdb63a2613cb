"""One pool of a configuration file: its keys to the fields of a Pool, and the checks that need several of them.

Every option is judged by itself first (`spelling.parse`); what is wrong keeps its default while the rest is checked,
so that one run names every mistake. What only does harm is an error in a native file and a warning in a nutcracker.yml,
where the data may depend on it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec import UNSET
from yaml.nodes import MappingNode, Node, SequenceNode

from proxy.acl import DEFAULT
from proxy.address import Listen, Server, make_server, parse_replica, parse_server, parse_weight
from proxy.config_users import read_acl_file, read_users
from proxy.config_walk import Walk, join, shape
from proxy.options import GROUPS, OPTIONS, RING, Option
from proxy.placement import pointless
from proxy.settings import MASK, CounterPrefix, Group, HotPrefix, Pool, Secret
from proxy.spelling import nearest

#: Seconds of silence that tell a dead node from one that was asked a moment ago.
LEAST_DOWN_AFTER = 0.3


class PoolReader:
    """The way from one mapping to one Pool."""

    def __init__(self, walk: Walk, name: str, key: Node, path: str) -> None:
        self.walk = walk
        self.name = name
        self.key = key
        self.path = path
        self.where = ("both", "nutcracker") if walk.nutcracker else ("both", "native")
        self.options = {option.key: option for option in OPTIONS if option.where in self.where}
        self.values: dict[str, Any] = {}  # by key of the option table, e.g. limits.window
        self.nodes: dict[str, Node] = {}  # where a value stands
        self.spelled: dict[str, str] = {}  # the key that gave a value

    def read(self, node: MappingNode) -> Pool | None:
        """The pool, or None if anything in it is wrong. What is wrong has its default while the rest is checked."""
        before = len(self.walk.problems)
        self.mapping(node, "")
        for option in self.options.values():
            needed = option.required and (option.key not in RING or "cluster" not in self.nodes)
            if needed and option.key not in self.nodes:
                self.walk.problem(self.key, f"{self.path}.{option.key}", f"is missing: {option.help}")
        if self.walk.nutcracker and self.values.pop("redis", False) is not True:
            self.walk.problem(
                self.nodes.get("redis", self.key), f"{self.path}.redis",
                "is not true, so this is a memcached pool, which Quench does not speak; take the pool out, or write "
                "redis: true (in a native file: put the pools under pools:)",
            )  # fmt: skip
        pool = self.build()
        self.check(pool)
        return None if len(self.walk.problems) > before else pool

    def mapping(self, node: MappingNode, group: str) -> None:
        """The options of the pool, or of one group of it."""
        here = join(self.path, group)
        for name, key, value in self.walk.entries(node, here):
            full = join(group, name)
            path = join(here, name)
            if not group and name in GROUPS and not self.walk.nutcracker:
                if isinstance(value, MappingNode):
                    self.mapping(value, name)
                else:
                    self.walk.problem(value, path, f"expected the options of {name}, got {shape(value)}")
            elif full in self.options:
                self.option(self.options[full], value, path)
            else:
                self.walk.problem(key, path, self.unknown(name, group))

    def unknown(self, name: str, group: str) -> str:
        """What to say of a key that is not in the table."""
        if self.walk.nutcracker and (name in GROUPS or any(name == option.key for option in OPTIONS)):
            return "is not an option of twemproxy's; to use it, put the pools of this file under pools:"
        for option in OPTIONS:
            if option.name == name and option.group != group and option.where in self.where:
                return f"belongs under {option.group}:" if option.group else "belongs to the pool itself, one level up"
        known = [key.removeprefix(f"{group}.") for key in self.options if key.rpartition(".")[0] == group]
        return f"unknown option{nearest(name, known + ([] if group else list(GROUPS)))}"

    def option(self, option: Option, node: Node, path: str) -> None:
        """One key and its value."""
        self.nodes[option.key] = node
        readers: dict[str, Callable[[Node, str], Any]] = {
            "servers": self.servers, "seeds": self.seeds, "groups": self.groups,
            "hot_prefixes": partial(self.prefix_rules, "hot_keys", HotPrefix),
            "counter_prefixes": partial(self.prefix_rules, "counters", CounterPrefix),
            "counted": self.counted, "addresses": self.addresses,
            "users": partial(read_users, self.walk),
            "acl_file": partial(read_acl_file, self.walk),
        }  # fmt: skip
        read = readers.get(option.kind)
        value = self.walk.scalar(option, node, path) if read is None else read(node, path)
        if value is UNSET:
            return
        if value == Secret(MASK):
            self.walk.warn(node, path, "is the mask that quench config prints, not a password")
        for field in (option.key,) if option.sets is None or option.key == "redis" else option.sets:
            if field in self.spelled:
                self.walk.problem(node, path, f"{field} is already given by {self.spelled[field]}; keep one of them")
            else:
                self.spelled[field] = option.key
                self.values[field] = value

    def servers(self, node: Node, path: str) -> Any:
        """The nodes, or UNSET if one of them is wrong: a ring of the others says nothing."""
        if not isinstance(node, SequenceNode) or not node.value:
            self.walk.problem(node, path, f"expected a list of nodes like [10.0.0.1:6379], got {shape(node)}")
            return UNSET
        before = len(self.walk.problems)
        servers: list[Server] = []
        labels: dict[str, int] = {}
        for index, item in enumerate(node.value):
            place = f"{path}[{index}]"
            server = self.server(item, place)
            if server is None:
                continue
            if server.label in labels:
                first = labels[server.label]
                advice = "give one of them another name" if server.name is not None else "delete one"
                self.walk.problem(item, place, f"node {server.label} is already there as [{first}]; {advice}")
            labels.setdefault(server.label, index)
            servers.append(server)
        addresses = {server.address for server in servers}
        for index, server in enumerate(servers):
            for number, replica in enumerate(server.replicas):
                if replica.address in addresses:
                    self.walk.problem(
                        node.value[index], f"{path}[{index}].replicas[{number}]",
                        f"{replica.address} is already a node of this pool; a process has one place in it",
                    )  # fmt: skip
                addresses.add(replica.address)
        return tuple(servers) if len(self.walk.problems) == before else UNSET

    def seeds(self, node: Node, path: str) -> Any:
        """The seeds of a cluster, or UNSET if one of them is wrong."""
        if not isinstance(node, SequenceNode) or not node.value:
            self.walk.problem(node, path, f"expected a list of nodes like [10.0.0.1:6379], got {shape(node)}")
            return UNSET
        seeds = []
        for index, item in enumerate(node.value):
            text = self.walk.text(item, f"{path}[{index}]")
            seed = None if text is None else self.attempt(item, f"{path}[{index}]", partial(parse_replica, text))
            if seed is not None and seed.path:
                self.walk.problem(item, f"{path}[{index}]", "expected host:port: nodes of a cluster name each other so")
            elif seed is not None:
                seeds.append(seed)
        return tuple(seeds) if len(seeds) == len(node.value) else UNSET

    def groups(self, node: Node, path: str) -> Any:
        """The groups of keys that live together, or UNSET if one of them is wrong."""
        before = len(self.walk.problems)
        if not isinstance(node, MappingNode):
            self.walk.problem(node, path, f'expected groups like {{rq: ["rq:"]}}, got {shape(node)}')
            return UNSET
        groups = []
        owners: dict[str, str] = {}  # prefix → the group that has it
        for name, key, value in self.walk.entries(node, path):
            here = join(path, name)
            if not name:
                self.walk.problem(key, path, "a group needs a name: its keys live where a key of that name does")
            if not isinstance(value, SequenceNode) or not value.value:
                self.walk.problem(value, here, f'expected a list of prefixes like ["rq:"], got {shape(value)}')
                continue
            prefixes = [self.prefix(item, f"{here}[{index}]", name, owners) for index, item in enumerate(value.value)]
            groups.append(Group(name, tuple(prefixes)))
        return tuple(groups) if len(self.walk.problems) == before else UNSET

    def prefix(self, node: Node, path: str, group: str, owners: dict[str, str]) -> str:
        """One prefix, entered in `owners`; the empty text if it is wrong."""
        if isinstance(node, MappingNode):
            self.walk.problem(node, path, 'expected a prefix; write it in quotes: "rq:"')
            return ""
        text = self.walk.text(node, path)
        if text is None:
            return ""
        if not text:
            self.walk.problem(node, path, "is empty, and every key begins with nothing; write how the keys begin")
        elif text in owners:
            where = "this group already" if owners[text] == group else f"group {owners[text]}"
            self.walk.problem(node, path, f"'{text}' is in {where}; keep one of them")
        owners.setdefault(text, group)
        return text

    def prefix_rules(self, group: str, rule: type[HotPrefix] | type[CounterPrefix], node: Node, path: str) -> Any:
        """What differs for some keys, or UNSET if any of it is wrong. Each value is read as the pool's own is."""
        before = len(self.walk.problems)
        if not isinstance(node, MappingNode):
            self.walk.problem(node, path, f'expected prefixes like {{"page:": {{…: …}}}}, got {shape(node)}')
            return UNSET
        rules = []
        for prefix, key, value in self.walk.entries(node, path):
            here = join(path, prefix)
            if not prefix:
                self.walk.problem(key, path, f"is for every key; say it under {group} itself")
            if not isinstance(value, MappingNode):
                self.walk.problem(value, here, f"expected options by name, got {shape(value)}")
                continue
            fields = {}
            for name, place, item in self.walk.entries(value, here):
                option = self.options.get(f"{group}.{name}")
                known = rule.__struct_fields__[1:]
                if option is None or name not in known:
                    self.walk.problem(place, join(here, name), f"is none of {', '.join(known)}")
                    continue
                fields[name] = self.walk.scalar(option, item, join(here, name))
            rules.append(rule(prefix=prefix, **{name: got for name, got in fields.items() if got is not UNSET}))
        return tuple(rules) if len(self.walk.problems) == before else UNSET

    def counted(self, node: Node, path: str) -> Any:
        """Keys whose increments travel together: a word, or prefixes; UNSET if it is wrong."""
        if not isinstance(node, SequenceNode):
            text = self.walk.text(node, path)
            if text in ("hot", "all", "off"):
                return text
            if text is not None:
                self.walk.problem(node, path, f"expected hot, all, off or a list of prefixes, got '{text}'")
            return UNSET
        before = len(self.walk.problems)
        owners: dict[str, str] = {}
        prefixes = [self.prefix(item, f"{path}[{index}]", "", owners) for index, item in enumerate(node.value)]
        return tuple(prefixes) if len(self.walk.problems) == before else UNSET

    def server(self, node: Node, path: str) -> Server | None:
        """One node, in either form."""
        if not isinstance(node, MappingNode):
            text = self.walk.text(node, path)
            return None if text is None else self.attempt(node, path, partial(parse_server, text))
        fields: dict[str, str] = {}
        replicas: tuple[Server, ...] | None = ()
        known = ["address", "weight", "name", "replicas"]
        for name, key, value in self.walk.entries(node, path):
            if name not in known:
                advice = nearest(name, known) or f"; a node has {', '.join(known)}"
                self.walk.problem(key, f"{path}.{name}", f"unknown key{advice}")
            elif name == "replicas":
                replicas = self.replicas(value, f"{path}.{name}")
            elif (text := self.walk.text(value, f"{path}.{name}")) is not None:
                fields[name] = text
        if "address" not in fields:
            self.walk.problem(node, f"{path}.address", "is missing: host:port, or the path of a unix socket")
            return None

        def make() -> Server:
            server = parse_server(fields["address"])
            weight = parse_weight(fields["weight"]) if "weight" in fields else server.weight
            return make_server(server.address, weight, fields.get("name", server.name), replicas or ())

        return None if replicas is None else self.attempt(node, path, make)

    def replicas(self, node: Node, path: str) -> tuple[Server, ...] | None:
        """The replicas of one node, or None if one of them is wrong."""
        if not isinstance(node, SequenceNode):
            self.walk.problem(node, path, f"expected a list of addresses like [10.0.0.2:6379], got {shape(node)}")
            return None
        found = []
        for index, item in enumerate(node.value):
            text = self.walk.text(item, f"{path}[{index}]")
            replica = None if text is None else self.attempt(item, f"{path}[{index}]", partial(parse_replica, text))
            if replica is None:
                return None
            found.append(replica)
        return tuple(found)

    def addresses(self, node: Node, path: str) -> Any:
        """A list of addresses, or UNSET if one of them is wrong."""
        found = self.replicas(node, path)
        return UNSET if found is None else found

    def attempt(self, node: Node, path: str, make: Callable[[], Server]) -> Server | None:
        """`make()`, or None and its ValueError noted."""
        try:
            return make()
        except ValueError as error:
            self.walk.problem(node, path, str(error))
            return None

    def build(self) -> Pool:
        """The struct, with the defaults of the file's form."""
        values = dict(self.values)
        if self.walk.nutcracker:
            for option in self.options.values():
                if option.nutcracker is not UNSET:
                    values.setdefault(option.key, option.nutcracker)
            if values["timeout"] is not None:  # twemproxy has one timeout, for connecting and for replies
                values["connect_timeout"] = values["timeout"]
        own: dict[str, Any] = {key: value for key, value in values.items() if "." not in key}
        for group, struct in GROUPS.items():
            own[group] = struct(**{k.partition(".")[2]: v for k, v in values.items() if k.startswith(f"{group}.")})
        own.setdefault("listen", Listen())  # missing or wrong, which is noted: the rest can be checked without
        own.setdefault("servers", ())
        return Pool(name=self.name, **own)

    def check(self, pool: Pool) -> None:
        """What no single option shows."""
        limits, harm = pool.limits, self.walk.warn if self.walk.nutcracker else self.walk.problem
        for low, high, small, large in (
            ("limits.output_soft", "limits.output_hard", limits.output_soft, limits.output_hard),
            (
                "limits.output_pubsub_soft", "limits.output_pubsub",
                limits.output_pubsub_soft, limits.output_pubsub,
            ),
            ("limits.bulk", "limits.max_bulk", limits.bulk, limits.max_bulk),
            ("limits.max_bulk", "limits.query_buffer", limits.max_bulk, limits.query_buffer),
            ("reconnect.first", "reconnect.most", pool.reconnect.first, pool.reconnect.most),
        ):
            if small > large and all(key in self.values or key not in self.nodes for key in (low, high)):
                culprit = low if low in self.nodes else high
                self.walk.problem(self.node(culprit), f"{self.path}.{culprit}", f"{low} is larger than {high}")
        if pool.hash == "crc32" and pool.distribution == "ketama":
            advice = "keep it only to take over existing data" if self.walk.nutcracker else "use murmur or crc32a"
            harm(
                self.node("hash"), f"{self.path}.hash",
                f"crc32 has 15 bits and ketama's ring 32, so one node would hold nearly every key; {advice}",
            )  # fmt: skip
        if pool.password is not None and any(user.name == DEFAULT for user in pool.users):
            culprit = self.spelled["users"]
            self.walk.problem(
                self.node(culprit), f"{self.path}.{culprit}",
                f"has a user called {DEFAULT}, whose password is given by {self.spelled['password']}, too; keep one",
            )  # fmt: skip
        if "cluster" in self.nodes:
            self.check_cluster(pool)
        elif pool.servers:
            self.check_ring(pool, harm)
        self.check_failover(pool)
        if pool.distribution == "random" and len(pool.servers) > 1:
            self.walk.warn(
                self.node("distribution"), f"{self.path}.distribution",
                "random asks any node for any key; it is for nodes that all hold the same data",
            )  # fmt: skip
        if pool.colocate and pool.distribution == "random":
            harm(
                self.node("colocate"), f"{self.path}.colocate",
                "has no effect with distribution: random, where any node is asked for any key; take one of them out",
            )  # fmt: skip
        if pool.copied:
            self.check_copies(pool)
        self.check_counters(pool)
        if pool.server_connections > 1:
            self.walk.warn(
                self.node("server_connections"), f"{self.path}.server_connections",
                "has no effect: an engine pipelines on one connection to a node; use engines: for more",
            )  # fmt: skip

    def check_counters(self, pool: Pool) -> None:
        """Do early ones say what may be lost, and can they be had?"""
        every = pool.counters.keys in ("hot", "all")
        early = [rule for rule in pool.counters.rules if rule.mode == "early" and (rule.prefix or every)]
        where = next((key for key in ("counters.mode", "counters.prefixes") if key in self.nodes), "counters.mode")
        problem = partial(self.walk.problem, self.node(where), f"{self.path}.{where}")
        if early and pool.copied:
            problem("early is not for replication: ring, where no increments travel together")
        elif any(rule.shards != 1 for rule in early):
            problem("early counters are not spread: leave out shards, or mode")
        elif any(not rule.window for rule in early):
            problem("early needs a window, which is how much may be lost: counters: {window: 50ms}, or one by prefix")

        if pool.counters.shards != 1:
            self.walk.problem(
                self.node("counters.shards"), f"{self.path}.counters.shards",
                "is for some prefixes, because few commands are for such counters: prefixes: {\"views:\": {shards: 4}}",
            )  # fmt: skip
        if any(rule.shards != 1 for rule in pool.counters.rules):
            for key, wrong, why in (
                ("replication", pool.copied, "with replication: ring no increments travel together"),
                ("cluster", bool(pool.cluster) or "cluster" in self.nodes, "a cluster has one place for a key"),
                ("distribution", pool.distribution == "random", "with random a key has no place"),
                ("auto_eject", pool.auto_eject, "it gives keys to other nodes, and shards have places"),
            ):
                if wrong:
                    self.walk.problem(self.node(key), f"{self.path}.{key}", f"is not for counters with shards: {why}")

    def check_failover(self, pool: Pool) -> None:
        """Does the pool have what its failover needs?"""
        problems = []
        if pool.failover == "promote" and pool.servers:
            if len(pool.nodes) < 3:
                problems.append(
                    f"promote needs a majority of three nodes or more, replicas included; there are {len(pool.nodes)}"
                )
            if all(not server.replicas for server in pool.servers):
                problems.append("promote needs nodes with replicas: {address: …, replicas: […]}")
            if any(node.path for node in pool.nodes):
                problems.append("promote needs nodes that reach each other: a unix socket is none")
        if pool.failover == "promote" and pool.down_after < LEAST_DOWN_AFTER:
            problems.append("promote asks its nodes ten times a second; let down_after be 300ms or more")
        if pool.failover == "sentinel" and not pool.sentinels and "sentinels" not in self.nodes:
            problems.append("sentinel needs sentinels: [host:port, …]")
        if pool.failover == "sentinel" and (found := [server.address for server in pool.servers if not server.name]):
            problems.append(f"sentinel knows masters by name, and {found[0]} has none: write {found[0]} NAME")
        if pool.failover != "off" and pool.auto_eject:
            problems.append("auto_eject moves the keys of a dead node, failover keeps them; take one of them out")
        for text in problems:
            self.walk.problem(self.node("failover"), f"{self.path}.failover", text)

    def check_ring(self, pool: Pool, harm: Callable[[Node, str, str], None]) -> None:
        """Can every node be reached?"""
        servers = self.nodes["servers"]
        total = sum(server.weight for server in pool.servers)
        try:
            unreached = pointless(pool)
        except ValueError as error:  # too many nodes, or too much weight
            self.walk.problem(servers, f"{self.path}.servers", str(error))
            return
        for index in unreached:
            harm(
                servers.value[index], f"{self.path}.servers[{index}]",
                f"weight {pool.servers[index].weight} of {total} gives it no point, so no key; raise it",
            )  # fmt: skip

    def check_cluster(self, pool: Pool) -> None:
        """What a Redis Cluster decides by itself, or cannot do."""
        placed = "the cluster says which nodes there are, and places keys by its own rule; {} is its hash tag"
        for key, wrong, why in (
            *((key, key in self.nodes, placed) for key in RING),
            ("auto_eject", pool.auto_eject, "no node takes over another one's keys unless the cluster says so"),
            ("replication", pool.replication == "ring", "its nodes have replicas of their own"),
            ("failover", pool.failover != "off", "the cluster promotes its replicas by itself"),
            ("redis_db", pool.redis_db != 0, "a Redis Cluster has database 0 only"),
            ("hot_keys.share", pool.hot_keys.share, "proxies in front of a cluster do not tell each other of hot keys"),
            ("hot_keys.strategy", pool.hot_keys.fans_out, "nodes of a cluster take no copies of other nodes' keys"),
            ("hot_keys.shield", pool.hot_keys.shields, "its leases would have other slots than their keys"),
        ):
            if wrong:
                culprit = self.spelled.get(key, "hot_keys.prefixes")
                path = f"{self.path}.{culprit}"
                self.walk.problem(self.node(culprit), path, f"is not for a pool with cluster: {why}")

    def check_copies(self, pool: Pool) -> None:
        """With `replication: ring`."""
        wrong = {
            "ring.copies": pool.ring.copies > len(pool.servers) > 0 and (
                f"{pool.ring.copies} copies of a key need as many nodes, and there are {len(pool.servers)}"
            ),
            "distribution": pool.distribution == "random" and "random has no place for a key's copies; use ketama",
            "auto_eject": pool.auto_eject and (
                "gives keys to nodes that have no copy of them; with replication: ring a key's other nodes take over"
            ),
            "servers": any(server.replicas for server in pool.servers) and (
                "replicas have no use with replication: ring, where keys have copies at other servers; make them such"
            ),
            "timeout": pool.timeout is None and (
                "none waits for ever for a node that hangs, and so do its keys with replication: ring; say how long"
            ),
        }  # fmt: skip
        for key, message in wrong.items():
            if message:
                self.walk.problem(self.node(key), f"{self.path}.{key}", message)

    def node(self, key: str) -> Node:
        """Where to point for an option: at its value, or at the pool's name if it has its default."""
        return self.nodes.get(key, self.key)
