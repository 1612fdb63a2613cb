"""Envoy's redis_proxy filter to pools: a bootstrap file, YAML or JSON, v3 names in either spelling.

A pool is made of each redis_proxy filter of each listener: the listener's address, the filter's settings, the nodes of
the cluster that its catch-all route names. Pure: text in, a Migration out. Envoy places keys by a ring of its own
(64-bit xxHash, 1024 points and more) or by Maglev, and neither can be had here, so keys move; the Migration says so
first.
"""

import base64
import re
from collections.abc import Mapping
from typing import Any

import yaml

from proxy.address import join_host, make_server, parse_listen
from proxy.migration import Fields, Migration, secret
from proxy.units import format_duration

FILTER = "envoy.filters.network.redis_proxy"
HASHING = {"RING_HASH", "MAGLEV"}
PRIMARY = {"", "MASTER", "PRIMARY", "0"}
PLAIN_DISCOVERY = {"", "STATIC", "STRICT_DNS", "LOGICAL_DNS"}

# What to say of fields that are known and do not carry over; "" needs no word.
BOOTSTRAP = {
    "admin": "Quench answers INFO on the port of a pool instead",
    "node": "",
    "static_resources": "",
}
RESOURCES = {"secrets": "put passwords into files (password_file, node_password_file)"}
LISTENER = {
    "name": "", "enable_reuse_port": "", "reuse_port": "", "traffic_direction": "",
    "per_connection_buffer_limit_bytes": "see limits.output_soft and limits.query_buffer",
    "listener_filters": "nothing stands before the pool: PROXY protocol and the like are not spoken",
}  # fmt: skip
CHAIN = {"name": "", "transport_socket": "", "filter_chain_match": "a pool takes every client of its port"}
PROXY = {
    "latency_in_micros": "latencies are always in microseconds: INFO commandstats, latencystats",
    "faults": "faults are not injected",
    "custom_commands": "commands that Redis does not have are refused as unknown",
}
SETTINGS = {
    "enable_redirection": "MOVED and ASK are passed to the client; Redis Cluster is not spoken",
    "dns_cache_config": "goes with enable_redirection",
    "max_upstream_unknown_connections": "goes with enable_redirection",
    "max_buffer_size_before_flush": "what one turn of an engine collects leaves in one write, without a setting",
    "buffer_flush_timeout": "nothing waits for a timer",
    "enable_command_stats": "INFO commandstats is always there",
    "connection_rate_limit": "see reconnect.first and reconnect.most: attempts to connect back off",
}
ROUTE = {
    "request_mirror_policy": "requests are not mirrored",
    "key_formatter": "keys are not rewritten: clients have to send the whole key",
    "read_command_policy": "reads go where writes go",
}
CLUSTER = {
    "type": "", "lb_policy": "", "load_balancing_policy": "", "alt_stat_name": "",
    "ring_hash_lb_config": "the ring is ketama with 160 points a node",
    "maglev_lb_config": "the ring is ketama with 160 points a node",
    "transport_socket": "",
    "circuit_breakers": "see limits.backlog and client_connections",
    "dns_lookup_family": "names are resolved by the system, IPv4 and IPv6",
    "dns_refresh_rate": "a name is resolved again at every reconnection",
    "respect_dns_ttl": "a name is resolved again at every reconnection",
    "upstream_connection_options": "tcpkeepalive is on, with the intervals of the kernel",
}  # fmt: skip
HEALTH = "auto_eject is on, by failures in a row and a PING every server_retry_timeout; the numbers are Quench's own"


def convert(text: str) -> Migration:
    """The pools of an Envoy bootstrap file. Raises ValueError, with a place and advice, if there is none to be had."""
    try:
        document = yaml.load(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ValueError(f"is not YAML or JSON: {str(error).splitlines()[0]}") from None
    if not isinstance(document, Mapping):
        raise ValueError("is not an Envoy bootstrap; expected static_resources: with listeners and clusters")
    migration = Migration()
    root = Fields(_snake(document), "", migration)
    resources = root.fields("static_resources")
    clusters: dict[str, Fields] = {}
    for cluster in resources.each("clusters"):
        name = cluster.text("name")
        cluster.place = f"cluster {name}"
        clusters[name] = cluster
    used: set[str] = set()
    for listener in resources.each("listeners"):
        _listener(listener, clusters, used, migration)
    if not migration.pools:
        reasons = "; ".join(migration.alarms) or f"no listener has an {FILTER} filter"
        raise ValueError(f"no pool can be made of it: {reasons}")
    for name in clusters:
        if name not in used:
            migration.note(f"cluster {name}", "no pool asks it")
    resources.leave(RESOURCES)
    root.leave(BOOTSTRAP)
    return migration


def _listener(listener: Fields, clusters: dict[str, Fields], used: set[str], migration: Migration) -> None:
    if name := listener.text("name"):
        listener.place = f"listener {name}"
    listen = _address(listener.fields("address"))
    try:
        parse_listen(listen)
    except ValueError as error:
        raise ValueError(f"{listener.path('address')}: {error}") from None
    backlog = listener.take("tcp_backlog_size")
    found = False
    for chain in listener.each("filter_chains"):
        for part in chain.each("filters"):
            config = part.fields("typed_config")
            config.place = f"{listener.place}, redis_proxy"
            kind = config.text("@type")
            if part.text("name") != FILTER and not kind.endswith("RedisProxy"):
                migration.note(part.place, "is another filter; only redis_proxy becomes a pool")
                continue
            part.leave({})
            if found:
                migration.alarm(part.place, f"is another redis_proxy on {listen}: a port has one pool; left out")
                continue
            found = True
            pool = _pool(config, listen, clusters, used, migration)
            if pool is not None:
                if isinstance(backlog, int):
                    pool["backlog"] = backlog
                name = migration.free_name(config.text("stat_prefix"))
                migration.pools[name] = pool
            config.leave(PROXY)
        if "transport_socket" in chain.left:
            migration.alarm(listener.place, "clients come by TLS, which Quench does not speak: put a TLS proxy there")
        chain.leave(CHAIN)
    if found:
        listener.leave(LISTENER)
    else:
        migration.note(listener.place, "has no redis_proxy filter")


def _pool(
    config: Fields, listen: str, clusters: dict[str, Fields], used: set[str], migration: Migration
) -> dict[str, Any] | None:
    """The options of the pool of one filter, or None, and an alarm, if it has no nodes."""
    pool: dict[str, Any] = {"listen": listen}
    settings = config.fields("settings")
    tagging = settings.take("enable_hashtagging") is True
    policy = settings.text("read_policy")
    if policy not in PRIMARY:
        migration.note(settings.path("read_policy"), f"{policy}: reads go to the addresses listed, replicas have none")
    timeout = settings.take("op_timeout")
    settings.leave(SETTINGS)
    name = _routes(config, migration)
    cluster = clusters.get(name)
    if cluster is None:
        migration.alarm(config.path("prefix_routes"), f"cluster '{name}' is not among static_resources.clusters")
        return None
    cluster = Fields(dict(cluster.left), cluster.place, migration)  # two listeners may share it
    used.add(name)
    servers = _servers(cluster, migration)
    if not servers:
        return None
    pool["servers"] = servers
    pool |= _placement(cluster, len(servers), tagging, migration)
    if timeout is not None:
        pool["timeout"] = _duration(timeout, settings.path("op_timeout"))
        migration.note(
            settings.path("op_timeout"), "a timeout is the whole time a request may take; Envoy's starts again "
            "with every reply on the connection"
        )  # fmt: skip
    if (connect := cluster.take("connect_timeout")) is not None:
        pool["connect_timeout"] = _duration(connect, cluster.path("connect_timeout"))
    for name in ("health_checks", "outlier_detection"):
        if cluster.take(name):
            pool["auto_eject"] = True
            migration.note(cluster.path(name), HEALTH)
    pool |= _clients(config, migration) | _credentials(cluster, migration)
    if "transport_socket" in cluster.left:
        migration.alarm(cluster.place, "nodes wait for TLS, which Quench does not speak: put a TLS proxy there")
    cluster.leave(CLUSTER)
    return pool


def _routes(config: Fields, migration: Migration) -> str:
    """The name of the cluster that takes the keys; other routes are alarms."""
    routes = config.fields("prefix_routes")
    every = routes.fields("catch_all_route")
    name = every.text("cluster")
    every.leave(ROUTE)
    for route in routes.each("routes"):
        prefix, cluster, removed = route.text("prefix"), route.text("cluster"), route.take("remove_prefix")
        if not name:
            name = cluster
            migration.alarm(route.place, f"there is no catch-all route, so cluster {cluster} gets all keys, "
                            f"not only those that begin with '{prefix}'")
        elif cluster != name:
            migration.alarm(route.place, f"keys that begin with '{prefix}' were in cluster {cluster}; a port has one "
                            f"pool, so they now go to {name}: give {cluster} a pool, and its clients the port")
        if removed:
            migration.alarm(route.place, f"the prefix '{prefix}' is not removed: nodes get keys as clients send them")
        route.leave(ROUTE)
    if routes.take("case_insensitive"):
        migration.note(routes.path("case_insensitive"), "goes with the prefix routes")
    routes.leave({})
    return name


def _placement(cluster: Fields, nodes: int, tagging: bool, migration: Migration) -> dict[str, Any]:
    """Envoy's load balancer as a distribution; it is an alarm if keys move."""
    policy = str(cluster.left.get("lb_policy") or "ROUND_ROBIN")
    placement: dict[str, Any] = {"hash_tag": "{}"} if tagging else {}
    if nodes == 1:
        return placement
    if policy in HASHING:
        migration.alarm(
            cluster.path("lb_policy"),
            f"KEYS MOVE. Envoy's {policy} puts most keys on other nodes than ketama does. A cache starts cold; other "
            "data has to be moved. Never let both proxies serve the same nodes at the same time",
        )  # fmt: skip
        return placement
    migration.alarm(
        cluster.path("lb_policy"), f"{policy} asks any node for any key, and so does distribution: random; that is for "
        "nodes that hold the same data. For a cache that is spread over the nodes take the line out"
    )  # fmt: skip
    return {"distribution": "random"} | placement


def _servers(cluster: Fields, migration: Migration) -> list[str]:
    """The endpoints as entries of `servers`; none, and an alarm, if the file does not have them."""
    kind = cluster.text("cluster_type") if not isinstance(cluster.left.get("cluster_type"), Mapping) else (
        cluster.fields("cluster_type").text("name"))  # fmt: skip
    discovery = str(cluster.left.get("type") or "")
    if kind or discovery not in PLAIN_DISCOVERY:
        reason = "Redis Cluster is not spoken" if "redis" in kind else "its nodes are not in the file; list them"
        migration.alarm(cluster.place, f"the cluster is of type {kind or discovery}: {reason}")
        return []
    servers = []
    assignment = cluster.fields("load_assignment")
    assignment.take("cluster_name")
    for locality in assignment.each("endpoints"):
        if (priority := locality.take("priority")) not in (None, 0):
            migration.alarm(locality.place, f"endpoints of priority {priority}: there are no spare nodes; left out")
            continue
        for item in locality.each("lb_endpoints"):
            endpoint = item.fields("endpoint")
            address = _address(endpoint.fields("address"))
            weight = item.take("load_balancing_weight", 1)
            try:
                servers.append(str(make_server(address, weight if isinstance(weight, int) else 0)))
            except ValueError as error:
                raise ValueError(f"{item.place}: {error}") from None
            endpoint.leave({"hostname": ""})
            item.leave({})
        locality.leave({"locality": "", "load_balancing_weight": "weights are those of the nodes alone"})
    assignment.leave({})
    if not servers:
        migration.alarm(cluster.place, "the cluster has no endpoints in the file; list its nodes")
    if len(set(servers)) < len(servers):
        raise ValueError(f"{cluster.path('load_assignment')}: an endpoint is listed twice; keep one")
    return servers


def _clients(config: Fields, migration: Migration) -> dict[str, Any]:
    """What clients are asked for."""
    password = _source(config.fields("downstream_auth_password"), "password")
    for source in config.each("downstream_auth_passwords"):
        if password:
            migration.alarm(source.place, "clients with this password are not let in: a pool has one")
        else:
            password = _source(source, "password")
    if config.take("downstream_auth_username"):
        migration.alarm(config.path("downstream_auth_username"), "there are no users, only a password")
    if config.take("external_auth_provider"):
        said = "has no counterpart" + ("" if password else ": WITHOUT A PASSWORD EVERYBODY IS LET IN, set password")
        migration.alarm(config.path("external_auth_provider"), said)
    return password


def _credentials(cluster: Fields, migration: Migration) -> dict[str, Any]:
    """What the nodes are told."""
    extensions = cluster.fields("typed_extension_protocol_options")
    options = extensions.fields(FILTER)
    options.take("@type")
    given = _source(options.fields("auth_password"), "node_password")
    given |= _source(options.fields("auth_username"), "node_username")
    if "node_username_file" in given:
        raise ValueError(f"{options.path('auth_username')}: a user name cannot be in a file; write it inline")
    options.leave({
        "aws_iam": "AWS IAM is not spoken; give the nodes a password",
        "credentials": "a pool gives one password to all of its nodes",
    })  # fmt: skip
    extensions.leave({})
    return given


def _source(source: Fields, option: str) -> dict[str, Any]:
    """Envoy's DataSource as `option`, or as its `_file` form; empty if there is none."""
    if "filename" in source.left:
        return {f"{option}_file": source.text("filename")}
    if "environment_variable" in source.left:
        return {option: f"${{{source.text('environment_variable')}}}"}
    text = source.text("inline_string")
    if "inline_bytes" in source.left:
        try:
            text = base64.b64decode(source.text("inline_bytes"), validate=True).decode()
        except ValueError:
            raise ValueError(f"{source.path('inline_bytes')}: expected text in base64") from None
    source.leave({})
    return {option: secret(text, source.place)} if text else {}


def _address(address: Fields) -> str:
    """host:port, or the path of a unix socket. Raises ValueError."""
    pipe = address.fields("pipe")
    if pipe.left:
        path, mode = pipe.text("path"), pipe.take("mode")
        pipe.leave({})
        return f"{path} {mode:04o}" if isinstance(mode, int) else path
    socket = address.fields("socket_address")
    host, port = socket.text("address"), socket.take("port_value")
    if not host or not isinstance(port, int):
        raise ValueError(f"{address.place}: expected socket_address with address and port_value, or pipe with path")
    socket.leave({"protocol": "", "ipv4_compat": ""})
    address.leave({})
    return join_host(host, port)


def _duration(value: Any, place: str) -> str:
    """"0.25s" (the spelling of protobuf) or {seconds, nanos} as a native duration. Raises ValueError."""
    if isinstance(value, Mapping):
        value = f"{float(value.get('seconds', 0)) + float(value.get('nanos', 0)) / 1e9:.9f}s"
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)s", str(value))
    if not match:
        raise ValueError(f"{place}: expected a duration like 0.25s, got {value!r}")
    return format_duration(max(round(float(match[1]), 6), 0.001))


def _snake(value: Any) -> Any:
    """The document with its keys in snake_case, which JSON spells camelCase."""
    if isinstance(value, Mapping):
        return {re.sub(r"(?<=[a-z0-9])[A-Z]", lambda m: f"_{m[0].lower()}", str(key)) if "." not in str(key) else key:
                _snake(item) for key, item in value.items()}  # fmt: skip
    return [_snake(item) for item in value] if isinstance(value, list) else value
