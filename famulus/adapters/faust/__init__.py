"""Faust as the executor of records: transport, intake, settings."""
