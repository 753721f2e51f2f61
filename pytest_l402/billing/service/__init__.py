"""The reference billing service, as a process of its own that is reached only by HTTP."""
