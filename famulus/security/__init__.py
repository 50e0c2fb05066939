"""Who may do what, what nobody may read, and how a connection is kept from strangers."""
