"""Joins counted, turns of implementations kept and progress shown, in Redis or Valkey."""

from __future__ import annotations

from famulus.adapters.redis.joins import RedisJoins
from famulus.adapters.redis.limits import RedisLimits
from famulus.adapters.redis.progress import RedisProgressBoard

__all__ = ["RedisJoins", "RedisLimits", "RedisProgressBoard"]
