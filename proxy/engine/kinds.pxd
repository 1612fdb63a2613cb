# cython: language_level=3
"""Kinds of orders and events: what the control plane and an engine tell each other, as types.pxd passes on."""

cdef enum OrderKind:           # control plane -> engine
    ORDER_STOP = 1             # end the loop now
    ORDER_DRAIN = 2            # no new clients; leave when all is answered
    ORDER_REPLY = 3            # answer a control request
    ORDER_CONNECT = 4          # (re)connect a node, at this address
    ORDER_DOWN = 5             # the node is down: refuse at once
    ORDER_EJECT = 6            # live[node] = 0
    ORDER_ADMIT = 7            # live[node] = 1
    ORDER_LIST = 8             # describe the clients
    ORDER_LISTEN = 9           # start accepting
    ORDER_RELEASE = 10         # the control plane has forgotten a client that it knew
    ORDER_PUSH = 11            # append these bytes to the output of these clients
    ORDER_KILL = 12            # close the clients with these ids
    ORDER_PAUSE = 13           # hold requests of a pool's clients for `slot` ms more, or no longer
    ORDER_SET = 14             # change a pool's limit
    ORDER_LEARN = 15           # keep the body of a script: number `slot`, digest and body
    ORDER_FORGET = 16          # script number `slot` is not to be sent any more
    ORDER_GHOST = 17           # the control plane lost a connection: have the node kill it, by its id and run_id
    ORDER_AUDIENCE = 18        # so many clients share this subscription
    ORDER_SUBSCRIBED = 19      # our subscriptions at this node are there, or are not
    ORDER_MONITOR = 20         # show a pool's requests, or no longer
    ORDER_HELD = 21            # a node's process, by run_id, holds script number `slot`
    ORDER_SHARED = 22          # every engine has script number `slot`
    ORDER_GO_ON = 23           # the script of a client's EVAL was seen to
    ORDER_ECHO = 24            # say that the orders before this one were carried out
    ORDER_HOT = 25             # a key is hot
    ORDER_COLD = 26            # forget all hot keys
    ORDER_HEAT = 27            # describe the hot keys
    ORDER_AWAY = 40            # a node misses writes, is being mended, or serves: `flag` is a voices.Away
    ORDER_READABLE = 28        # whether a replica may be asked for reads, and how fresh it is
    ORDER_SEAT = 29            # another process, or none, is behind a node; the tag is the generation
    ORDER_MEMBER = 50          # of a cluster: `node` is now this one (`data` is its address; empty: none); `flag`: holds slots
    ORDER_SLOTS = 51           # of a cluster: the node of each slot, as Cluster.slots has them

cdef enum ReplyFlag:           # ORDER_REPLY: Order.flag
    REPLY_CLOSE = 1            # end the connection afterwards
    REPLY_KEEP = 2             # the control plane goes on naming the client
    REPLY_SUBSCRIBER = 4       # it is in subscribe mode from here on
    REPLY_NO_SUBSCRIBER = 8    # it is not
    REPLY_RESET = 16           # its connection is as new: RESET of a client that the control plane knows

cdef enum PauseMode:           # ORDER_PAUSE: Order.flag
    PAUSE_NONE = 0
    PAUSE_WRITE = 1            # what may change a key, or publishes
    PAUSE_ALL = 2

cdef enum Limit:               # ORDER_SET: Order.flag; the value is in the data
    LIMIT_CLIENTS = 1          # number, of the whole pool
    LIMIT_BULK = 2             # bytes
    LIMIT_QUERY_BUFFER = 3     # bytes
    LIMIT_IDLE = 4             # us

cdef enum EventKind:           # engine -> control plane
    EVENT_REQUEST = 1          # a command of the control lane
    EVENT_NODE = 2             # a node connection failed
    EVENT_OPEN = 3             # a node connection is open
    EVENT_SICK = 4             # a node answers, but with -LOADING and the like
    EVENT_LISTED = 5           # what an order with a tag asked for: clients described, ids of those closed
    EVENT_DRAINED = 6
    EVENT_GONE = 7             # a client that the control plane knows has left
    EVENT_DENIED = 9           # a user was refused something
    EVENT_MONITOR = 10         # lines for those who monitor a pool; the tag: how many are missing before them
    EVENT_SCRIPT = 11          # the body of a script that a client's EVAL brought; the client waits for ORDER_GO_ON
    EVENT_HOT = 12             # a key became hot here
    EVENT_REDIRECTED = 40      # a node of a cluster said that a slot is elsewhere, or that it is not served
