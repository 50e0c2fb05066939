"""Nodes that famulus brings along: what an attempt of one comes to. They take no worker slot and run no user code."""

from __future__ import annotations

from famulus.engine.builtins.call import BuiltInCall, BuiltInServices
from famulus.engine.builtins.runner import BuiltIns
from famulus.engine.builtins.table import TABLE
from famulus.engine.builtins.tokens import HookTokens

__all__ = ["TABLE", "BuiltInCall", "BuiltInServices", "BuiltIns", "HookTokens"]
