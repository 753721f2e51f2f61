"""The full flow of the stack, and its steady state."""
