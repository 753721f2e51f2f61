"""What runs in the processes that import the engine; nothing outside of them may import this package."""
