"""Shared by the tests: the ways of cutting a stream, and literals of RESP."""

import random

SPLITS = 300  # boundaries tried one by one; of a longer stream a fixed sample, its ends and all of them at once


def cuttings(data):
    """The ways to feed `data`: whole, byte by byte, in two pieces at every boundary, and in random pieces."""
    yield [data]
    if len(data) < 2:
        return
    if len(data) <= 20_000:
        yield [data[at : at + 1] for at in range(len(data))]
    dice = random.Random(len(data))
    boundaries = range(1, len(data))
    if len(boundaries) > SPLITS:
        boundaries = sorted({1, 2, 3, len(data) - 2, len(data) - 1, *dice.sample(boundaries, 40)})
    for at in boundaries:
        yield [data[:at], data[at:]]
    for _ in range(3):
        cuts = sorted(dice.sample(range(1, len(data)), min(len(data) - 1, 7)))
        yield [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]


def feed_all_ways(frame, data, tail=b"", **options):
    """Feed `data`, then `data` and `tail`, in all cuttings; all must agree. Returns (items, error, left) of `data`.

    `frame` takes a list of pieces and the options. With a tail the items of `data` must come first, and nothing of
    the tail may be lost. After an error what is left depends on how much was read by then, so it is not compared.
    """
    results = {}
    for stream in {data, data + tail}:
        for pieces in cuttings(stream):
            got = frame(pieces, **options)
            result = (got.items, got.error, None if got.error else got.left)
            assert results.setdefault(stream, result) == result, [len(piece) for piece in pieces]
    items, error, _ = results[data]
    assert results[data + tail][0][: len(items)] == items
    if error is not None:
        assert results[data + tail][:2] == (items, error)
    return results[data]


def agree_with_twin(frame, twin, data, **options):
    """`data` in all cuttings gives what the naive `twin` finds in it."""
    expected = twin(data, **options)
    items, error, left = feed_all_ways(frame, data, **options)
    assert (items, error) == (expected.items, expected.error)
    assert error is not None or left == expected.left


def request(*arguments):
    """The canonical form of a request."""
    return b"*%d\r\n" % len(arguments) + b"".join(bulk(argument) for argument in arguments)


def bulk(data):
    return b"$%d\r\n%s\r\n" % (len(data), data)
