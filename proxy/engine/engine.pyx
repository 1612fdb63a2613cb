# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Engine: builds the C structs of one data-plane thread from Python values, runs it, and passes mail.

The only module of the engine that touches Python objects. `run()` is one `with nogil` around the loop; everything
else is either called before it starts, or posts to a mailbox, or reads counters that only ever grow.
"""

import os

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint32_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free, malloc

from proxy.engine.again cimport agains_close
from proxy.engine.audience cimport audiences_free
from proxy.engine.cluster cimport NODE_TEXT, cluster_free, cluster_new, cluster_of
from proxy.engine.connection cimport conn_free
from proxy.engine.client cimport client_close
from proxy.engine.controls cimport ORDERS, Controls
from proxy.engine.hot cimport hot_close, hot_open
from proxy.engine.marks cimport marks_new, quench_forget, quench_store_word
from proxy.engine.monitor cimport monitor_clear, monitor_taken
from proxy.engine.ring cimport Placement
from proxy.engine.redirect cimport detours_free
from proxy.engine.scripts cimport scripts_free
from proxy.engine.shards cimport shards_close, shards_open
from proxy.engine.shield cimport shields_close
from proxy.engine.tables cimport build_errors, build_rows
from proxy.engine.tenure cimport GENERATION_AT
from proxy.engine.turn cimport engine_loop, turn, turn_end
from proxy.engine.users cimport build_users
from proxy.engine.waves cimport tallies_close, tallies_open
from proxy.engine.types cimport (
    BUCKETS, CLIENT_COPIED, CONNS, CONN_OPEN, COPIES_OFF, COPIES_TRACKED, COPIES_TTL, DEAD, INBOX, MERGE_ALL,
    MERGE_HOT, MERGE_OFF, READ_PRIMARY, WAKE, WAVES, Conn, Core, CounterRule, Event, HotRule, Node, Order, Pool, RowStats,
)
from proxy.wire.chunk cimport pool_trim
from proxy.wire.input cimport SCRATCH
from proxy.wire.mailbox cimport mailbox_close, mailbox_open, mailbox_take
from proxy.wire.output cimport output_clear
from proxy.wire.poll cimport poll_add, poll_close, poll_open, wake, wake_open
from proxy.wire.system cimport EPOLLIN, close, monotonic_us

from proxy.errors import ENGINE_ERRORS, ReplyError

cdef extern from "<signal.h>" nogil:
    ctypedef struct sigset_t:
        pass
    int SIG_SETMASK
    int sigfillset(sigset_t* set)
    int pthread_sigmask(int how, const sigset_t* set, sigset_t* old)

cdef extern from "<malloc.h>" nogil:
    int M_MMAP_THRESHOLD
    int mallopt(int parameter, int value)

cdef enum:
    EVENTS = 16384             # events waiting for the control plane

COUNTERS = (
    "turns", "requests", "replies", "accepted", "handed_over", "rejected_clients", "closed", "protocol_errors",
    "bytes_in", "bytes_out", "split", "local", "error_replies", "timeouts", "withdrawn", "late_replies",
    "pushes_dropped", "starved", "output_closed", "query_closed", "events_dropped", "reconnects", "transactions",
    "blocked", "lost_pops", "pushes", "pubsub_closed", "push_bytes", "monitor_dropped", "hot_promoted", "hot_demoted",
    "copy_hits", "copies_stored", "copy_refreshes", "copies_changed", "copies_expired", "copies_unsure",
    "copies_evicted", "copies_stale", "reads_joined", "fetches_stale", "invalidations", "copies_checked",
    "copies_wrong", "copies_wrong_us", "shield_misses", "shield_loads", "shield_early", "shield_nils",
    "fenced", "fan_out_reads", "fan_out_hits", "fan_out_fills", "hints", "doubts", "fan_out_tombstones", "redirects",
    "replica_reads", "retries", "hedges", "hedges_won", "hedges_denied", "reads_let_go", "increments", "early", "early_lost",
    *(f"waves_{1 << bucket}" for bucket in range(WAVES - 1)), "waves_more",
)
MERGE_MODES = {"off": MERGE_OFF, "hot": MERGE_HOT, "all": MERGE_ALL}
COPY_MODES = {"off": COPIES_OFF, "tracked": COPIES_TRACKED, "ttl": COPIES_TTL}
LATENCY_CLASSES = ("read", "write", "split", "local")


cdef build_heat(Pool* pool, list kept, dict heat, int engines):
    """The pool cools its hot keys: each engine those of its share of the requests."""
    cdef HotRule* rule
    # The struct lives as long as the engine, in a buffer of Python's.
    room = bytes(len(heat["rules"]) * sizeof(HotRule))
    kept.append(room)
    pool.hot_rules = <HotRule*> PyBytes_AS_STRING(room)
    pool.hot_rule_count = len(heat["rules"])
    for index, (prefix, mode, life_us, stale_us, shield_us, early, fan_out, fan_life_us) in enumerate(heat["rules"]):
        kept.append(prefix)
        rule = &pool.hot_rules[index]
        rule.prefix = PyBytes_AS_STRING(prefix)
        rule.length = len(prefix)
        rule.copies = COPY_MODES[mode]
        rule.life_us = life_us
        rule.stale_us = stale_us
        rule.shield_us = shield_us
        rule.early = early
        pool.shields |= shield_us > 0
        rule.fan_out = fan_out
        rule.fan_life_us = fan_life_us
        pool.fans = pool.fans or fan_out > 0
    pool.hot_threshold = max(1, heat["threshold"] // engines)
    # At a steady rate the sketch counts between 0.13 and 0.26 seconds' worth.
    pool.hot_count = max(2, heat["threshold"] * 18 // 100 // engines)
    pool.cools = True


cdef build_reads(Core* core, Pool* pool, dict reads, int engines):
    """The pool has replicas, or copies on the ring, and this is how they are read from."""
    pool.retains = True
    pool.reads.from_ = reads["from"]
    pool.reads.hot = reads["hot"]
    pool.reads.lag_us = reads["lag_us"]
    pool.reads.retained_limit = reads["retained"] // engines
    pool.reads.quantile = reads["quantile"]
    pool.reads.after_us = reads["after_us"]
    pool.reads.budget = reads["budget"]
    core.asks_again = True
    core.hedges = core.hedges or pool.reads.budget > 0


cdef build_counters(Pool* pool, list kept, list rules):
    """Increments of the pool travel together."""
    cdef CounterRule* rule
    room = bytes(len(rules) * sizeof(CounterRule))
    kept.append(room)
    pool.counter_rules = <CounterRule*> PyBytes_AS_STRING(room)
    pool.counter_rule_count = len(rules)
    for index, (prefix, mode, most, window_us, early, shards) in enumerate(rules):
        kept.append(prefix)
        rule = &pool.counter_rules[index]
        rule.prefix = PyBytes_AS_STRING(prefix)
        rule.length = len(prefix)
        rule.merges = MERGE_MODES[mode]
        rule.most = most
        rule.window_us = window_us
        rule.early = early
        pool.alone = pool.alone or early
        rule.shards = shards
        pool.sharded = pool.sharded or shards > 1
        pool.merges = max(pool.merges, rule.merges)


cdef class EngineGroup:
    """Shared by the engines of one process. `count` is fixed."""

    def __cinit__(self, int count):
        self.peers.count = count
        self.peers.inbox = <int*> calloc(count, sizeof(int))
        self.peers.clients = <uint32_t*> calloc(count, sizeof(uint32_t))
        self.peers.ids = <uint64_t*> &self.next_id
        self.peers.marks = <uint64_t**> calloc(count, sizeof(uint64_t*))
        self.peers.seed = <uint64_t> int.from_bytes(os.urandom(8), "little")
        if self.peers.inbox == NULL or self.peers.clients == NULL or self.peers.marks == NULL:
            raise MemoryError
        for index in range(count):
            self.peers.marks[index] = marks_new()
            if self.peers.marks[index] == NULL:
                raise MemoryError
        self.readers = []
        for index in range(count):
            reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
            self.readers.append(reader)
            self.peers.inbox[index] = writer

    def __dealloc__(self):
        if self.peers.inbox != NULL:
            for index in range(self.peers.count):
                close(self.peers.inbox[index])
        for index in range(self.peers.count):
            free(self.peers.marks[index])
        free(self.peers.marks)
        free(self.peers.inbox)
        free(self.peers.clients)
        free(self.peers.held)
        free(self.peers.copied)
        free(self.peers.leases)
        free(self.peers.fans)

    def forget_copies(self):
        """Every copy of every engine is void: before and after a command for all keys that the engines do not see."""
        quench_forget(&self.peers.forgets)

    def lease(self, int pool, uint64_t generation, uint64_t until_us):
        """Writes of a pool may be acknowledged until `until_us` of the monotonic clock, by engines whose seats are of this
        generation."""
        quench_store_word(&self.peers.leases[pool], generation << GENERATION_AT | until_us)

    @property
    def clients(self):
        """Clients connected, by engine."""
        return [self.peers.clients[index] for index in range(self.peers.count)]


@cython.no_gc_clear
cdef class Engine(Controls):
    """One data-plane thread: build with add_pool(), then run() it in a thread of its own.

    The core borrows memory of `group` and `kept` until the very end: the collector must not take them away first.
    """

    def __cinit__(self, EngineGroup group, int index, bytes agent, size_t input_limit, size_t output_limit):
        cdef Core* core
        self.group = group
        self.index = index
        self.kept = [agent, group]
        self.core = core = <Core*> calloc(1, sizeof(Core))
        if core == NULL:
            raise MemoryError
        mallopt(M_MMAP_THRESHOLD, 131072)  # fixed: large blocks always go straight back to the kernel
        core.index = index
        core.peers = &group.peers
        core.agent = PyBytes_AS_STRING(agent)
        core.input_limit = input_limit
        core.output_limit = output_limit
        core.random_state = <uint64_t> int.from_bytes(os.urandom(8), "little") | 1
        core.audience_seed = <uint64_t> int.from_bytes(os.urandom(8), "little")
        core.scratch = <char*> malloc(SCRATCH + 64)
        core.now_us = monotonic_us()
        core.reserve_fd = os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC)
        core.event_fd = self.event_fd = wake_open()
        core.wake.kind = WAKE
        core.wake.fd = wake_open()
        core.inbox.kind = INBOX
        core.inbox.fd = group.readers[index]
        if (core.scratch == NULL or core.event_fd < 0 or core.wake.fd < 0 or poll_open(&core.poll) < 0
                or mailbox_open(&core.orders, ORDERS) < 0 or mailbox_open(&core.events, EVENTS) < 0):
            raise OSError("the engine could not get its event descriptors: raise the limit of open files")
        poll_add(&core.poll, &core.wake, EPOLLIN)
        poll_add(&core.poll, &core.inbox, EPOLLIN)
        self.names = build_rows(core, self.kept)
        build_errors(core, self.kept)

    def __dealloc__(self):
        cdef Core* core = self.core
        cdef Pool* pool
        cdef Conn* conn
        cdef Event* event
        cdef Order* order
        cdef int pool_index, node_index, place
        if core == NULL:
            return
        while core.clients != NULL:
            client_close(core, core.clients)
        turn_end(core)
        for pool_index in range(core.pool_count):
            pool = &core.pools[pool_index]
            monitor_clear(core, pool)
            if pool.listener.fd >= 0:
                close(pool.listener.fd)
            for node_index in range(pool.node_total):
                for place in range(CONNS):
                    if pool.nodes[node_index].conns[place] != NULL:
                        conn_free(core, pool.nodes[node_index].conns[place])
                while pool.nodes[node_index].privates != NULL:
                    conn = pool.nodes[node_index].privates
                    pool.nodes[node_index].privates = conn.next_private
                    conn_free(core, conn)
            if pool.cluster != NULL:
                detours_free(self.core, pool)
                cluster_free(cluster_of(pool))
            audiences_free(pool)
            free(pool.nodes)
            free(pool.live)
            free(pool.replicas)
        while True:
            event = <Event*> mailbox_take(&core.events)
            if event == NULL:
                break
            free(event)
        while True:
            order = <Order*> mailbox_take(&core.orders)
            if order == NULL:
                break
            free(order)
        mailbox_close(&core.events)
        mailbox_close(&core.orders)
        poll_close(&core.poll)
        for fd in (core.wake.fd, core.event_fd, core.reserve_fd, core.inbox.fd):
            if fd >= 0:
                close(fd)
        output_clear(&core.rewritten, &core.chunks)
        output_clear(&core.fence, &core.chunks)
        scripts_free(core)
        agains_close(core)
        pool_trim(&core.chunks)
        shields_close(core)
        hot_close(core)
        tallies_close(core)
        shards_close(core)
        free(core.notes)
        free(core.keys)
        free(core.pools)
        free(core.rows)
        free(core.row_stats)
        free(core.lookup)
        free(core.scratch)
        free(core)

    # -- building -----------------------------------------------------------------------------------------------------

    cdef char* keep(self, bytes text):
        """The bytes of `text`, alive as long as this engine."""
        self.kept.append(text)
        return PyBytes_AS_STRING(text)

    def add_pools(self, list pools):
        """Build the pools, once, before run(). See proxy.control.engines.pool_values for the mapping expected."""
        cdef Pool* pool
        cdef Node* node
        cdef Placement placement
        if self.core.pools != NULL:
            raise RuntimeError("the pools of an engine are built once")
        self.core.pools = <Pool*> calloc(max(len(pools), 1), sizeof(Pool))
        if self.core.pools == NULL:
            raise MemoryError
        if self.group.peers.held == NULL:
            self.group.peers.held = <uint32_t*> calloc(
                2 * sum(len(values["nodes"]) for values in pools) + 1, sizeof(uint32_t))
            self.group.peers.copied = <uint64_t*> calloc(
                sum(len(values["nodes"]) for values in pools) + 1, sizeof(uint64_t))
            self.group.peers.leases = <uint64_t*> calloc(len(pools) + 1, sizeof(uint64_t))
            if self.group.peers.held == NULL or self.group.peers.copied == NULL or self.group.peers.leases == NULL:
                raise MemoryError
        held = 0
        for index, values in enumerate(pools):
            pool = &self.core.pools[index]
            pool.core = self.core
            pool.index = index
            pool.name = self.keep(values["name"])
            pool.listener.kind = DEAD
            pool.listener.fd = values["listener"]
            pool.unix_socket = values["unix_socket"]
            placement = values["placement"]
            self.kept.append(placement)
            pool.ring = placement.ring
            pool.auto_eject = values["auto_eject"]
            pool.leased = values.get("failover", "off") == "promote"
            text = ReplyError("fenced_late", pool=values["name"].decode()).reply
            self.kept.append(text)
            pool.late = PyBytes_AS_STRING(text)
            pool.late_length = len(text)
            if values.get("copies"):
                pool.copies, pool.write_level, pool.read_level = values["copies"]
                pool.client_flags |= CLIENT_COPIED
            pool.nil_on_error = values["nil_on_error"]
            pool.split_transactions = values["split_transactions"]
            pool.database = values["database"]
            build_users(pool, self.kept, values["users"], self.names)
            if values["node_auth"]:
                text = b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in values["node_auth"])
                pool.node_auth = self.keep(text)
                pool.node_auth_length = len(text)
                pool.node_auth_args = len(values["node_auth"])
            limits = values["limits"]
            pool.limits.window = limits["window"]
            pool.limits.most_clients = limits["most_clients"]
            pool.limits.output_soft = limits["output_soft"]
            pool.limits.output_hard = limits["output_hard"]
            pool.limits.pubsub_hard = limits["pubsub_hard"]
            pool.limits.pubsub_soft = limits["pubsub_soft"]
            pool.limits.pubsub_soft_us = limits["pubsub_soft_us"]
            pool.limits.query_buffer = limits["query_buffer"]
            pool.limits.backlog = limits["backlog"]
            pool.limits.bulk = limits["bulk"]
            pool.limits.max_bulk = limits["max_bulk"]
            pool.limits.timeout_us = limits["timeout_us"]
            pool.limits.connect_timeout_us = limits["connect_timeout_us"]
            pool.limits.most_blocked = limits["most_blocked"]
            pool.limits.most_watching = limits["most_watching"]
            pool.limits.most_tombstones = limits["most_tombstones"]
            pool.limits.tombstone_us = limits["tombstone_us"]
            if values["hot"] is not None:
                build_heat(pool, self.kept, values["hot"], self.group.peers.count)
            if values["counters"] is not None:
                build_counters(pool, self.kept, values["counters"])
                if self.core.tallies == NULL and not tallies_open(self.core):
                    raise MemoryError
                if pool.sharded and self.core.shards == NULL and not shards_open(self.core):
                    raise MemoryError
            if pool.fans and self.group.peers.fans == NULL:
                self.group.peers.fans = marks_new()
                if self.group.peers.fans == NULL:
                    raise MemoryError
            pool.node_total = len(values["nodes"])
            pool.nodes = <Node*> calloc(pool.node_total, sizeof(Node))
            pool.live = <unsigned char*> malloc(pool.node_total)
            pool.replicas = <int*> malloc(pool.node_total * sizeof(int))
            if values.get("cluster"):
                pool.cluster = cluster_new(pool.node_total)
                pool.reads.retained_limit = values["reads"]["retained"] // self.group.peers.count
            if pool.nodes == NULL or pool.live == NULL or pool.replicas == NULL:
                raise MemoryError
            pool.node_count = pool.node_total - len(values["replica_of"])
            if values["replica_of"] or pool.copies or (
                    pool.cluster != NULL and values["reads"]["from"] != READ_PRIMARY):
                build_reads(self.core, pool, values["reads"], self.group.peers.count)
            for place, (name, address) in enumerate(values["nodes"]):
                node = &pool.nodes[place]
                node.pool = pool
                node.index = place
                node.primary = place
                node.patient = values.get("failover", "off") != "off"
                node.name = self.keep(name)
                node.address = self.keep(address)
                node.member = 1
                if pool.cluster != NULL:
                    # Filled by order.
                    node.name = node.address = &cluster_of(pool).addresses[<int> place * NODE_TEXT]
                    node.member = 0
                node.blocked = &self.group.peers.held[2 * <int> held]
                node.watching = node.blocked + 1
                node.copied = &self.group.peers.copied[<int> held]
                held += 1
                pool.live[place] = 1
                pool.replicas[place] = place
            for place, primary in enumerate(values["replica_of"], pool.node_count):
                pool.nodes[place].primary = primary
                pool.nodes[place].patient = False
                if pool.nodes[primary].replica_count == 0:
                    pool.nodes[primary].first_replica = place
                pool.nodes[primary].replica_count += 1
            self.core.pool_count = index + 1
        heat = [values["hot"] for values in pools if values["hot"] is not None]
        if heat and not hot_open(self.core, sum(hot["memory"] for hot in heat) // self.group.peers.count,
                                 max(hot["max_value"] for hot in heat), max(hot["max_keys"] for hot in heat)):
            raise MemoryError

    # -- running --------------------------------------------------------------------------------------------------------

    def run(self):
        """The loop, until stop(). Blocks the calling thread without the GIL; no signal is delivered to it."""
        cdef sigset_t every, old
        with nogil:
            sigfillset(&every)
            pthread_sigmask(SIG_SETMASK, &every, &old)
            engine_loop(self.core)
            pthread_sigmask(SIG_SETMASK, &old, NULL)

    def run_once(self, int timeout_ms=0):
        """One turn, for tests."""
        with nogil:
            turn(self.core, timeout_ms)

    # -- events -----------------------------------------------------------------------------------------------------------

    def events(self):
        """Everything posted since the last call: a list of (kind, pool, node, code, client, slot, tag, data)."""
        cdef Event* event
        cdef list found = []
        while True:
            event = <Event*> mailbox_take(&self.core.events)
            if event == NULL:
                return found
            found.append((event.kind, event.pool, event.node, event.code, <uintptr_t> event.client, event.slot,
                          event.tag, event.data[:event.length]))
            monitor_taken(self.core, event)
            free(event)

    # -- statistics -------------------------------------------------------------------------------------------------------

    def counters(self):
        """Engine-wide counters by name. Read without stopping the engine: each is whole, together they may be a turn
        apart."""
        cdef uint64_t* values = <uint64_t*> &self.core.counters
        found = {name: values[index] for index, name in enumerate(COUNTERS)}
        found["clients"] = self.core.client_count
        found["chunk_bytes"] = self.core.chunks.total
        found["input_reserved"] = self.core.input_reserved
        found["early_owed"] = self.core.early_owed
        return found

    def latency(self):
        """log2 histograms of microseconds by name of the commands that nodes answered, with the command's latency class:
        bucket b counts values in [2**(b-1), 2**b)."""
        cdef RowStats* stats
        cdef int index
        found = {}
        for index, name in enumerate(self.names):
            stats = &self.core.row_stats[index]
            if stats.usec:
                found[name] = (LATENCY_CLASSES[self.core.rows[index].kind],
                               [stats.latency[bucket] for bucket in range(BUCKETS)])
        return found

    def command_stats(self):
        """(calls, usec, failed, rejected) by command name, for commands that were used."""
        cdef RowStats* stats
        cdef int index
        found = {}
        for index, name in enumerate(self.names):
            stats = &self.core.row_stats[index]
            if stats.calls or stats.rejected:
                found[name] = (stats.calls, stats.usec, stats.failed, stats.rejected)
        return found

    def error_stats(self):
        """How often each error of the proxy's own was made, by its code."""
        return {error.code: self.core.errors[kind].made for kind, error in enumerate(ENGINE_ERRORS)}

    def pool_stats(self):
        """By pool: clients, and by node a dict of counters and its connections' state. `blocked` and `watching` are of all
        engines together."""
        cdef Node* node
        cdef Conn* conn
        found = []
        for index in range(self.core.pool_count):
            nodes = []
            for place in range(self.core.pools[index].node_total):
                node = &self.core.pools[index].nodes[place]
                opened = in_flight = backlog = 0
                for which in range(CONNS):
                    conn = node.conns[which]
                    if conn != NULL:
                        opened += conn.state == CONN_OPEN
                        in_flight += conn.tail - conn.head
                        backlog += conn.output.length
                nodes.append({
                    "requests": node.requests, "errors": node.errors, "timeouts": node.timeouts,
                    "losses": node.losses, "retries": node.retries, "hedges": node.hedges,
                    "hedges_won": node.hedges_won, "hints": node.hints,
                    "bytes_out": node.bytes_out, "bytes_in": node.bytes_in,
                    "latency_us": node.latency_us, "connections": opened, "in_flight": in_flight,
                    "backlog": backlog, "ejected": bool(node.ejected), "blocked": node.blocked[0],
                    "watching": node.watching[0], "readable": bool(node.readable),
                })
            found.append({"clients": self.core.pools[index].clients, "nodes": nodes})
        return found
