# cython: language_level=3
"""Changes: the one hook that every write of a key passes, named as Redis's keyspace notifications name it.

Handlers call key_changed() once a change is done, while the key's name is still readable; keyspace.pyx calls it for
keys that expire, are evicted or removed. What wants to know of writes (WATCH, notifications, client tracking, a log,
replicas) is told from here and from nowhere else. A command that left everything as it was calls nothing.
"""

from storenode.types cimport Database, Node, Slice

cdef enum Event:               # EVENTS rows of changes.pyx, in this order
    EVENT_DEL = 0
    EVENT_EXPIRE = 1
    EVENT_PERSIST = 2
    EVENT_RENAME_FROM = 3
    EVENT_RENAME_TO = 4
    EVENT_COPY_TO = 5
    EVENT_MOVE_FROM = 6
    EVENT_MOVE_TO = 7
    EVENT_RESTORE = 8
    EVENT_EXPIRED = 9
    EVENT_EVICTED = 10
    EVENT_SET = 11
    EVENT_SETRANGE = 12
    EVENT_APPEND = 13
    EVENT_INCRBY = 14
    EVENT_INCRBYFLOAT = 15
    EVENT_SETBIT = 16
    EVENT_PFADD = 17
    EVENT_LPUSH = 18
    EVENT_RPUSH = 19
    EVENT_LPOP = 20
    EVENT_RPOP = 21
    EVENT_LINSERT = 22
    EVENT_LSET = 23
    EVENT_LREM = 24
    EVENT_LTRIM = 25
    EVENT_SORTSTORE = 26
    EVENT_SADD = 27
    EVENT_SREM = 28
    EVENT_SPOP = 29
    EVENT_SINTERSTORE = 30
    EVENT_SUNIONSTORE = 31
    EVENT_SDIFFSTORE = 32
    EVENT_HSET = 33
    EVENT_HDEL = 34
    EVENT_HINCRBY = 35
    EVENT_HINCRBYFLOAT = 36
    EVENT_ZADD = 37
    EVENT_ZINCR = 38
    EVENT_ZREM = 39
    EVENT_ZPOPMIN = 40
    EVENT_ZPOPMAX = 41
    EVENT_ZREMRANGEBYSCORE = 42
    EVENT_ZREMRANGEBYRANK = 43
    EVENT_ZREMRANGEBYLEX = 44
    EVENT_ZUNIONSTORE = 45
    EVENT_ZINTERSTORE = 46
    EVENT_ZDIFFSTORE = 47
    EVENT_ZRANGESTORE = 48
    EVENT_GEORADIUSSTORE = 49
    EVENT_GEOSEARCHSTORE = 50
    EVENTS = 51
    QUIET = 52                 # a removal that the caller announces itself

cdef struct EventRow:
    const char* name           # what a subscriber of __keyspace@0__:key is sent
    char group                 # the letter of notify-keyspace-events that switches it on

cdef void key_changed(Database* database, const Slice* key, int event) noexcept nogil
cdef void database_changed(Database* database) noexcept nogil
cdef void everything_changed(Node* node) noexcept nogil
cdef void key_missed(Database* database, const Slice* key) noexcept nogil
cdef void key_born(Database* database, const Slice* key) noexcept nogil
cdef void databases_swapped(Database* one, Database* other) noexcept nogil
cdef const EventRow* event_row(int event) noexcept nogil
