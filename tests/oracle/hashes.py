"""Naive twins of the twelve key hashes: unbounded integers, reduced modulo 2**32 where the definition says so."""

import hashlib
import zlib
from collections.abc import Callable

WORD = 0xFFFFFFFF


def signed(byte: int) -> int:
    """The byte as x86 `char`, widened to 32 bits."""
    return (byte - 256) & WORD if byte >= 128 else byte


def rotate(word: int, bits: int) -> int:
    return ((word << bits) | (word >> (32 - bits))) & WORD


def one_at_a_time(key: bytes) -> int:
    h = 0
    for byte in key:
        h = (h + signed(byte)) & WORD
        h = (h + (h << 10)) & WORD
        h ^= h >> 6
    h = (h + (h << 3)) & WORD
    h ^= h >> 11
    return (h + (h << 15)) & WORD


def md5(key: bytes) -> int:
    return int.from_bytes(hashlib.md5(key).digest()[:4], "little")


def crc16(key: bytes) -> int:
    def entry(byte: int) -> int:
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        return crc & 0xFFFF

    crc = 0
    for byte in key:
        crc = ((crc << 8) & WORD) ^ entry(((crc >> 8) ^ byte) & 0xFF)
    return crc


def crc32(key: bytes) -> int:
    return (zlib.crc32(key) >> 16) & 0x7FFF


def fnv1(key: bytes, offset: int, prime: int, bits: int) -> int:
    h = offset
    for byte in key:
        h = (h * prime) % 2**bits ^ signed(byte)
    return h & WORD


def fnv1a(key: bytes, offset: int, prime: int, bits: int) -> int:
    h = offset
    for byte in key:
        h = ((h ^ signed(byte)) * prime) % 2**bits
    return h & WORD


FNV32 = (2166136261, 16777619, 32)
FNV64 = (0xCBF29CE484222325, 0x100000001B3, 64)


def hsieh(key: bytes) -> int:
    def half(at: int) -> int:
        return int.from_bytes(key[at : at + 2], "little")

    if not key:
        return 0
    h = 0
    whole = len(key) - len(key) % 4
    for at in range(0, whole, 4):
        h = (h + half(at)) & WORD
        h = ((h << 16) ^ (half(at + 2) << 11) ^ h) & WORD
        h = (h + (h >> 11)) & WORD
    tail = key[whole:]
    if len(tail) == 3:
        h = (h + half(whole)) & WORD
        h ^= (h << 16) & WORD
        h ^= (signed(tail[2]) << 18) & WORD
        h = (h + (h >> 11)) & WORD
    elif len(tail) == 2:
        h = (h + half(whole)) & WORD
        h ^= (h << 11) & WORD
        h = (h + (h >> 17)) & WORD
    elif len(tail) == 1:
        h = (h + tail[0]) & WORD
        h ^= (h << 10) & WORD
        h = (h + (h >> 1)) & WORD
    for left, right in ((3, 5), (4, 17), (25, 6)):
        h ^= (h << left) & WORD
        h = (h + (h >> right)) & WORD
    return h


def murmur(key: bytes) -> int:
    m = 0x5BD1E995
    h = (0xDEADBEEF * len(key) ^ len(key)) & WORD
    whole = len(key) - len(key) % 4
    for at in range(0, whole, 4):
        k = int.from_bytes(key[at : at + 4], "little") * m & WORD
        k = (k ^ (k >> 24)) * m & WORD
        h = (h * m & WORD) ^ k
    if key[whole:]:
        h = (h ^ int.from_bytes(key[whole:], "little")) * m & WORD
    h = (h ^ (h >> 13)) * m & WORD
    return h ^ (h >> 15)


def jenkins(key: bytes) -> int:
    a = b = c = (0xDEADBEEF + len(key) + 13) & WORD
    if not key:
        return c
    blocks = [key[at : at + 12].ljust(12, b"\0") for at in range(0, len(key), 12)]
    for number, block in enumerate(blocks):
        a = (a + int.from_bytes(block[0:4], "little")) & WORD
        b = (b + int.from_bytes(block[4:8], "little")) & WORD
        c = (c + int.from_bytes(block[8:12], "little")) & WORD
        if number < len(blocks) - 1:
            for bits in (4, 6, 8, 16, 19, 4):  # mix: the three words change places after each step
                a = ((a - c) & WORD) ^ rotate(c, bits)
                c = (c + b) & WORD
                a, b, c = b, c, a
        else:
            for bits in (14, 11, 25, 16, 4, 14, 24):  # final
                c = ((c ^ b) - rotate(b, bits)) & WORD
                a, b, c = b, c, a
            a, b, c = c, a, b  # the seventh step ends where the fourth did; undo its change of places
    return c


HASHES: dict[str, Callable[[bytes], int]] = {
    "one_at_a_time": one_at_a_time,
    "md5": md5,
    "crc16": crc16,
    "crc32": crc32,
    "crc32a": zlib.crc32,
    "fnv1_64": lambda key: fnv1(key, *FNV64),
    "fnv1a_64": lambda key: fnv1a(key, *FNV64),
    "fnv1_32": lambda key: fnv1(key, *FNV32),
    "fnv1a_32": lambda key: fnv1a(key, *FNV32),
    "hsieh": hsieh,
    "murmur": murmur,
    "jenkins": jenkins,
}


def murmur_preimage(wanted: int) -> bytes:
    """The four-byte key whose murmur hash is `wanted`: on four bytes it is one to one, so run it backwards."""
    inverse = pow(0x5BD1E995, -1, 2**32)

    def unshift(word: int, bits: int) -> int:
        out = word
        for _ in range(32 // bits + 1):
            out = word ^ (out >> bits)
        return out

    h = unshift(wanted, 15) * inverse & WORD
    h = unshift(h, 13)
    k = h ^ (((0xDEADBEEF * 4 ^ 4) & WORD) * 0x5BD1E995 & WORD)
    k = unshift(k * inverse & WORD, 24) * inverse & WORD
    return k.to_bytes(4, "little")
