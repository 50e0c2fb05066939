"""Joins counted in Redis or Valkey."""

from __future__ import annotations

from famulus.adapters.redis.joins import RedisJoins

__all__ = ["RedisJoins"]
