"""Joins counted, and turns of implementations kept, in Redis or Valkey."""

from __future__ import annotations

from famulus.adapters.redis.joins import RedisJoins
from famulus.adapters.redis.limits import RedisLimits

__all__ = ["RedisJoins", "RedisLimits"]
