"""An order: charge, stock and fraud check side by side, then ship, or undo what was done. See README.md."""
