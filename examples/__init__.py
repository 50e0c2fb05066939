"""Workflows to run, read and copy: `digest` reads a folder, `order` sells something."""
