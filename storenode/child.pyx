# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Child. See child.pxd."""

from libc.stdint cimport int32_t, uint32_t, uint64_t
from libc.stdlib cimport strtoull
from libc.string cimport memset, strstr

from proxy.wire.system cimport EINTR, close, errno, monotonic_us, read, write
from storenode.files cimport O_CLOEXEC, O_RDONLY, open
from storenode.latency cimport LATENCY_FORK, latency_event
from storenode.pages cimport pages_ready
from storenode.types cimport ChildDone, ChildJob, NO_CHILD, Node

cdef extern from "<fcntl.h>" nogil:
    int O_NONBLOCK

cdef extern from "<signal.h>" nogil:
    int SIGKILL
    int kill(int pid, int number)

cdef extern from "<sys/prctl.h>" nogil:
    int PR_SET_PDEATHSIG
    int prctl(int option, ...)

cdef extern from "<sched.h>" nogil:
    int SCHED_BATCH

cdef extern from "<sys/wait.h>" nogil:
    int WNOHANG
    int waitpid(int pid, int* status, int options)
    int WIFEXITED(int status)

cdef extern from "<unistd.h>" nogil:
    int fork()
    int getpid()
    int getppid()
    int pipe2(int* ends, int flags)
    int dup(int old)
    int dup2(int old, int new)
    void _exit(int code)
    long syscall(long number, ...)

cdef extern from "<sys/syscall.h>" nogil:
    long SYS_close_range, SYS_sched_setattr

cdef enum:
    NICE = 10                  # a tenth of a core that others want, too: a replica may be waiting
    SLICE_NS = 100000000
    REPORT_FD = 3              # where a child keeps the pipe, and from where on it keeps nothing else


cdef struct Report:
    int error                  # errno; 0: done
    uint64_t cow               # bytes that the parent or the child had to copy


cdef struct Scheduling:        # sched_attr, in its first version
    uint32_t size
    uint32_t policy
    uint64_t flags
    int32_t nice
    uint32_t priority
    uint64_t runtime           # ns; from Linux 6.12 on this is the slice of an ordinary thread, too
    uint64_t deadline
    uint64_t period


cdef void yield_to_parent() noexcept nogil:
    """Who asks for a long slice is preempted at once by a thread with a shorter one that wakes up: by the one that serves."""
    cdef Scheduling wish
    memset(&wish, 0, sizeof(wish))
    wish.size = sizeof(wish)
    wish.policy = SCHED_BATCH
    wish.nice = NICE
    wish.runtime = SLICE_NS
    syscall(SYS_sched_setattr, 0, &wish, 0)


cdef uint64_t copied_bytes() noexcept nogil:
    """What of the memory is no longer shared with the parent, as the kernel counts it; 0 where it does not."""
    cdef char text[4096]
    cdef const char* at
    cdef int fd = open(b"/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC)
    cdef ssize_t length
    if fd < 0:
        return 0
    length = read(fd, text, sizeof(text) - 1)
    close(fd)
    if length <= 0:
        return 0
    text[length] = 0
    at = strstr(text, b"Private_Dirty:")
    return strtoull(at + 14, NULL, 10) * 1024 if at != NULL else 0


cdef void close_others(int keep) noexcept nogil:
    """Only the pipe and `keep` stay open, and what the terminal or a supervisor gave."""
    cdef unsigned int most = <unsigned int> -1
    if keep < 0:
        syscall(SYS_close_range, <unsigned int> REPORT_FD + 1, most, 0)
        return
    syscall(SYS_close_range, <unsigned int> keep + 1, most, 0)
    if keep > REPORT_FD + 1:
        syscall(SYS_close_range, <unsigned int> REPORT_FD + 1, <unsigned int> keep - 1, 0)


cdef void be_child(Node* node, ChildJob job, int report, int keep, int parent) noexcept nogil:
    cdef Report words
    prctl(PR_SET_PDEATHSIG, SIGKILL)
    if getppid() != parent:
        _exit(1)
    yield_to_parent()
    # Descriptor 3 may be anything of the parent's, even what is to be kept: that moves out of the way.
    if keep == REPORT_FD:
        keep = dup(keep)
    dup2(report, REPORT_FD)
    close_others(keep)
    words.error = job(node)
    words.cow = copied_bytes()
    write(REPORT_FD, &words, sizeof(words))
    _exit(words.error != 0)


cdef bint child_free(Node* node) noexcept nogil:
    """May a child be started now? Ask only if one is wanted: what makes its start short begins with the question, and
    the turn that ends it is the next to be asked in."""
    return node.child.pid == 0 and pages_ready(node)


cdef bint child_start(Node* node, int kind, ChildJob job, ChildDone done, int keep) noexcept nogil:
    """Fork, at the end of a turn, after child_free(); done() is called by a later child_poll().

    keep: a descriptor that the job needs; -1: none. False: it cannot be; errno tells why.
    """
    cdef uint64_t begun = monotonic_us()
    cdef int ends[2]
    cdef int parent = getpid()
    cdef int pid
    if pipe2(ends, O_CLOEXEC | O_NONBLOCK) < 0:
        return False
    pid = fork()
    if pid == 0:
        be_child(node, job, ends[1], keep, parent)
    close(ends[1])
    if pid < 0:
        close(ends[0])
        return False
    node.child.pid = pid
    node.child.kind = kind
    node.child.pipe = ends[0]
    node.child.done = done
    node.child.begun_us = begun
    node.child.fork_us = monotonic_us() - begun
    node.child.forks += 1
    latency_event(node, LATENCY_FORK, node.child.fork_us)
    return True


cdef void finish(Node* node, int error, uint64_t cow) noexcept nogil:
    cdef ChildDone done = node.child.done
    close(node.child.pipe)
    node.child.pid = 0
    node.child.kind = NO_CHILD
    done(node, error, cow)


cdef void child_poll(Node* node) noexcept nogil:
    """Has the child ended? Then tell who started it, and what it said: an errno, or EINTR if it was killed."""
    cdef Report words
    cdef int status = 0
    if node.child.pid == 0 or waitpid(node.child.pid, &status, WNOHANG) != node.child.pid:
        return
    words.error = EINTR
    words.cow = 0
    if WIFEXITED(status):
        read(node.child.pipe, &words, sizeof(words))
    finish(node, words.error, words.cow)


cdef void child_kill(Node* node) noexcept nogil:
    """End the child now, if there is one; its done() hears of EINTR."""
    cdef int status
    if node.child.pid:
        kill(node.child.pid, SIGKILL)
        while waitpid(node.child.pid, &status, 0) < 0 and errno == EINTR:
            pass
        finish(node, EINTR, 0)
