"""The world, one package a client library.

Each adapter keeps the contracts of `famulus.ports` and holds no workflow rule.
"""
