# cython: language_level=3
"""Clock: the processor's counter, for what is measured at every command. Reading it takes 8 ns, asking Linux 25.

Its rate is learned from the system's monotonic clock: once at the start and again at every housekeeping. Where there is
no such counter the system's clock stands in, with a thousand "cycles" a microsecond.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport Node

cdef extern from *:
    """
    #include <time.h>
    static inline unsigned long long store_cycles(void) {
    #if defined(__x86_64__)
        return __builtin_ia32_rdtsc();
    #elif defined(__aarch64__)
        unsigned long long value;
        __asm__ volatile("mrs %0, cntvct_el0" : "=r"(value));
        return value;
    #else
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        return (unsigned long long) now.tv_sec * 1000000000ull + now.tv_nsec;
    #endif
    }
    """
    uint64_t cycles "store_cycles"() noexcept nogil


cdef inline void clock_learn(Node* node, uint64_t now_us) noexcept nogil:
    """Work out the rate from the time since the start."""
    if now_us > node.clock_us:
        node.cycles_us = <double> (cycles() - node.clock_cycles) / <double> (now_us - node.clock_us)


cdef inline double clock_usec(const Node* node, uint64_t spent) noexcept nogil:
    """Microseconds that so many cycles are."""
    return <double> spent / node.cycles_us
