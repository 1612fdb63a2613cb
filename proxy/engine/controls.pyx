# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Controls: the orders that the control plane gives to an engine. See controls.pxd."""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from proxy.engine.mail cimport order_new
from proxy.engine.scripts cimport Scripts
from proxy.engine.types cimport (
    LIMIT_BULK, LIMIT_CLIENTS, LIMIT_IDLE, LIMIT_QUERY_BUFFER,
    ORDER_ADMIT, ORDER_AUDIENCE, ORDER_AWAY, ORDER_COLD, ORDER_CONNECT, ORDER_DOWN, ORDER_DRAIN, ORDER_ECHO, ORDER_EJECT,
    ORDER_FORGET, ORDER_GHOST, ORDER_GO_ON, ORDER_HEAT, ORDER_HELD, ORDER_HOT, ORDER_KILL, ORDER_LEARN, ORDER_LIST,
    ORDER_LISTEN, ORDER_MONITOR, ORDER_PAUSE, ORDER_PUSH, ORDER_READABLE, ORDER_RELEASE, ORDER_REPLY, ORDER_SEAT, ORDER_SET, ORDER_SHARED,
    ORDER_SUBSCRIBED, REPLY_CLOSE, REPLY_KEEP, REPLY_NO_SUBSCRIBER, REPLY_RESET, REPLY_SUBSCRIBER, SCRIPTS, Client,
    ORDER_MEMBER, ORDER_SLOTS, Order,
)
from proxy.wire.mailbox cimport mailbox_post
from proxy.wire.poll cimport wake

cdef enum:
    PUSH_ROOM = 67108864       # bytes of messages waiting for one engine, beyond which it takes no more of them

LIMITS = {
    "most_clients": LIMIT_CLIENTS, "max_bulk": LIMIT_BULK, "query_buffer": LIMIT_QUERY_BUFFER, "idle_us": LIMIT_IDLE,
}


cdef class Controls:
    """What an Engine can be told. Everything is posted, and carried out at the start of one of its next turns."""

    cdef post(self, Order* order):
        if not mailbox_post(&self.core.orders, order):
            free(order)
            raise BlockingIOError(f"engine {self.index} does not take its orders: {ORDERS} are waiting")
        wake(self.core.wake.fd)

    def stop(self):
        """End run() at the next turn; safe from any thread, as often as one likes."""
        self.core.stopped = 1
        wake(self.core.wake.fd)

    def listen(self):
        """Start accepting clients."""
        self.post(order_new(ORDER_LISTEN, NULL, 0))

    def drain(self):
        """Accept no more, let go of every client as soon as it is owed nothing, then report `drained`."""
        self.post(order_new(ORDER_DRAIN, NULL, 0))

    def connect_node(self, int pool, int node, bytes address, bint open_now):
        """(Re)connect a node at this socket address (a struct sockaddr)."""
        cdef Order* order = order_new(ORDER_CONNECT, address, len(address))
        order.pool = pool
        order.node = node
        order.flag = open_now
        self.post(order)

    def node_down(self, int pool, int node, bytes reason):
        """Refuse what waits for this node."""
        cdef Order* order = order_new(ORDER_DOWN, reason, len(reason))
        order.pool = pool
        order.node = node
        self.post(order)

    def seat(self, int pool, int node, bytes run_id, bytes name, bytes address, uint16_t generation,
             bint patient=True):
        """Another process is behind a node: the one with this run_id (empty: any) at this socket address, which people
        know by `name`. Both empty: nobody is, and requests wait. The generation is the pool's, for its lease;
        `patient`: requests wait, too, while a member's connection cannot be opened."""
        data = run_id[:40] + bytes(41 - len(run_id[:40])) + name + b"\0" + address
        cdef Order* order = order_new(ORDER_SEAT, data, len(data))
        order.pool = pool
        order.node = node
        order.tag = generation
        order.flag = patient
        self.post(order)

    def eject(self, int pool, int node, bint ejected):
        """Take a node out of service, or back in."""
        cdef Order* order = order_new(ORDER_EJECT if ejected else ORDER_ADMIT, NULL, 0)
        order.pool = pool
        order.node = node
        self.post(order)

    def set_away(self, int pool, int node, int away):
        """With `replication: ring`: a node serves (0), takes writes and is mended (1), misses what is written, which is
        hinted (2) or not (3)."""
        cdef Order* order = order_new(ORDER_AWAY, NULL, 0)
        order.pool = pool
        order.node = node
        order.flag = away
        self.post(order)

    def readable(self, int pool, int node, bint readable, uint64_t fresh_us):
        """Whether a replica may be asked for reads, and up to when, by time.monotonic_ns() // 1000, it has all that its
        primary had."""
        cdef Order* order = order_new(ORDER_READABLE, NULL, 0)
        order.pool = pool
        order.node = node
        order.flag = readable
        order.tag = fresh_us
        self.post(order)

    def list_clients(self, unsigned long long tag, size_t client=0):
        """Ask for a description of every client, or of one that has a request waiting: EVENT_LISTED with this tag."""
        cdef Order* order = order_new(ORDER_LIST, NULL, 0)
        order.client = <Client*> client
        order.tag = tag
        self.post(order)

    def reply(self, size_t client, uint32_t slot, bytes data, bint close_after=False, bint keep=False,
              subscriber=None, bint reset=False):
        """Answer a `request` event; must be called exactly once for each.

        `keep`: the pointer stays valid, EVENT_GONE says when the client leaves, and release() must follow that.
        `reset`: the engine does what RESET does to a connection.
        """
        cdef Order* order = order_new(ORDER_REPLY, data, len(data))
        order.client = <Client*> client
        order.slot = slot
        order.flag = (REPLY_CLOSE if close_after else 0) | (REPLY_KEEP if keep else 0) | (REPLY_RESET if reset else 0)
        if subscriber is not None:
            order.flag |= REPLY_SUBSCRIBER if subscriber else REPLY_NO_SUBSCRIBER
        self.post(order)

    def kill_clients(self, unsigned long long tag, bytes ids):
        """Close clients by their ids, an array of 64-bit numbers in rising order: EVENT_LISTED with this tag brings
        the ids of those that were here."""
        cdef Order* order = order_new(ORDER_KILL, ids, len(ids))
        order.tag = tag
        self.post(order)

    def pause(self, unsigned long long tag, int pool, int mode, uint32_t milliseconds):
        """Hold back requests of a pool's clients for so long: `mode` 1 those that may write, 2 all; 0 ends a pause.
        EVENT_LISTED with this tag and no data says that it holds."""
        cdef Order* order = order_new(ORDER_PAUSE, NULL, 0)
        order.tag = tag
        order.pool = pool
        order.flag = mode
        order.slot = milliseconds
        self.post(order)

    def monitor(self, unsigned long long tag, int pool, bint on, bytes path):
        """Show a pool's requests as MONITOR does, in EVENT_MONITOR, or no longer; `path` is that of its unix socket.
        EVENT_LISTED with this tag and no data says that it holds."""
        cdef Order* order = order_new(ORDER_MONITOR, path, len(path))
        order.tag = tag
        order.pool = pool
        order.flag = on
        self.post(order)

    def set_limit(self, int pool, str limit, uint64_t value):
        """Change one of LIMITS for a pool: a number of clients (of the whole pool), bytes or microseconds."""
        cdef Order* order = order_new(ORDER_SET, <char*> &value, sizeof(value))
        order.pool = pool
        order.flag = LIMITS[limit]
        self.post(order)

    def hot_key(self, int pool, bytes key):
        """Another engine, or another proxy, found that this key is hot."""
        cdef Order* order = order_new(ORDER_HOT, key, len(key))
        order.pool = pool
        self.post(order)

    def forget_hot_keys(self):
        """No key is hot until it is found again."""
        self.post(order_new(ORDER_COLD, NULL, 0))

    def list_hot_keys(self, unsigned long long tag):
        """Ask for the hot keys: EVENT_LISTED with this tag, see proxy.control.hot."""
        cdef Order* order = order_new(ORDER_HEAT, NULL, 0)
        order.tag = tag
        self.post(order)

    def release(self, size_t client):
        """Name a kept client no more: once for each EVENT_GONE. Orders posted before may still name it."""
        cdef Order* order = order_new(ORDER_RELEASE, NULL, 0)
        order.client = <Client*> client
        self.post(order)

    def push(self, bytes clients, bytes data):
        """Append `data`, whole messages, to the output of every client in `clients`: an array of their pointers, all
        of them kept and not released. A `>` in front becomes a `*` for clients of RESP2. One that has too much unread
        output is closed."""
        cdef Order* order
        if self.push_posted - self.core.counters.push_bytes > PUSH_ROOM:
            raise BlockingIOError(f"engine {self.index} does not take its messages: {PUSH_ROOM} bytes are waiting")
        order = order_new(ORDER_PUSH, NULL, len(clients) + len(data))
        memcpy(order.data, PyBytes_AS_STRING(clients), len(clients))
        memcpy(order.data + len(clients), PyBytes_AS_STRING(data), len(data))
        order.tag = len(clients) // sizeof(Client*)
        self.post(order)
        self.push_posted += len(clients) + len(data)

    def learn_script(self, int pool, uint32_t serial, bytes digest, bytes body):
        """Send EVALSHA of this script (SHA1 `digest`, 20 bytes) as EVAL to nodes of the pool that may not hold it.

        Serials begin with 1; a script takes the place of that whose serial is the same modulo 1024.
        """
        cdef Order* order = order_new(ORDER_LEARN, digest + body, len(digest) + len(body))
        order.pool = pool
        order.slot = serial
        self.post(order)

    def script_held(self, uint32_t serial, int pool, int node, bytes run_id):
        """The process of a node, by its run_id, is known to hold a script."""
        cdef Order* order = order_new(ORDER_HELD, run_id[:40] + bytes(41 - len(run_id[:40])), 41)
        order.slot = serial
        order.pool = pool
        order.node = node
        self.post(order)

    def script_shared(self, uint32_t serial):
        """All engines have learned this script: EVAL of its body need not tell the control plane any more."""
        cdef Order* order = order_new(ORDER_SHARED, NULL, 0)
        order.slot = serial
        self.post(order)

    def scripts_named(self):
        """The serials of those scripts that an EVALSHA has named since they were learned. Read as counters() are."""
        cdef Scripts* scripts = <Scripts*> self.core.scripts
        if scripts == NULL:
            return set()
        return {scripts.places[place].named for place in range(SCRIPTS)}

    def go_on(self, size_t client):
        """Let the EVAL of a `script` event start; must be called exactly once for each."""
        cdef Order* order = order_new(ORDER_GO_ON, NULL, 0)
        order.client = <Client*> client
        self.post(order)

    def echo(self, unsigned long long tag):
        """EVENT_LISTED with this tag and no data says that all orders before were carried out."""
        cdef Order* order = order_new(ORDER_ECHO, NULL, 0)
        order.tag = tag
        self.post(order)

    def forget_script(self, uint32_t serial):
        """From here on EVALSHA of this script is sent as it comes."""
        cdef Order* order = order_new(ORDER_FORGET, NULL, 0)
        order.slot = serial
        self.post(order)

    def kill_ghost(self, int pool, int node, long long ghost, bytes run_id):
        """A connection of the control plane was given up with writes on it that may yet be executed: have the node
        kill it, by its CLIENT ID there, before it gets another request from here."""
        cdef Order* order = order_new(ORDER_GHOST, run_id[:40] + bytes(41 - len(run_id[:40])), 41)
        order.pool = pool
        order.node = node
        order.tag = <uint64_t> ghost
        self.post(order)

    def audience(self, int pool, int kind, bytes name, uint32_t extra):
        """A subscription (kind: lanes.registry.Kind) has `extra` clients besides the one that its node counts."""
        cdef Order* order = order_new(ORDER_AUDIENCE, name, len(name))
        order.pool = pool
        order.flag = kind
        order.tag = extra
        self.post(order)

    def subscribed(self, int pool, int node, bint subscribed):
        """Whether all subscriptions of the process are in force at this node: only then are its counts corrected."""
        cdef Order* order = order_new(ORDER_SUBSCRIBED, NULL, 0)
        order.pool = pool
        order.node = node
        order.flag = subscribed
        self.post(order)

    def member(self, int pool, int node, bytes address, bint holds_slots, int primary, bint new):
        """This place of a cluster is now the node with this address, as nodes write it; empty: nobody's. `primary`: the
        place of the node that it is a replica of, or its own, or -1. connect_node() has to follow for one that is
        `new`, or has come back."""
        cdef Order* order = order_new(ORDER_MEMBER, address, len(address))
        order.pool = pool
        order.node = node
        order.flag = holds_slots | new << 1
        order.tag = <uint64_t> (primary if primary >= 0 else node)
        self.post(order)

    def slots(self, int pool, bytes table):
        """From here on each slot of a cluster is at this node: 16384 indexes of 16 bits, 0xFFFF for nobody."""
        cdef Order* order = order_new(ORDER_SLOTS, table, len(table))
        order.pool = pool
        self.post(order)
