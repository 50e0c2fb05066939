"""The hash of Kafka's default partitioner, so that a run has the same partition in memory as on a broker.

After `org.apache.kafka.common.utils.Utils.murmur2`; all arithmetic is modulo 2**32.
"""

from __future__ import annotations

from typing import Final

_SEED: Final = 0x9747B28C
_MULTIPLIER: Final = 0x5BD1E995
_SHIFT: Final = 24
_WORD: Final = 0xFFFFFFFF
_POSITIVE: Final = 0x7FFFFFFF


def partition_for(key: bytes, partitions: int) -> int:
    """The partition, of so many, that Kafka's default partitioner gives to the key."""
    return (murmur2(key) & _POSITIVE) % partitions


def murmur2(data: bytes) -> int:
    """The hash as an unsigned 32-bit number."""
    result = _SEED ^ len(data)
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        word = (int.from_bytes(data[start : start + 4], "little") * _MULTIPLIER) & _WORD
        word = ((word ^ (word >> _SHIFT)) * _MULTIPLIER) & _WORD
        result = ((result * _MULTIPLIER) & _WORD) ^ word
    if whole < len(data):
        result = ((result ^ int.from_bytes(data[whole:], "little")) * _MULTIPLIER) & _WORD
    result = ((result ^ (result >> 13)) * _MULTIPLIER) & _WORD
    return result ^ (result >> 15)
