"""The books: what counts as paid, and what users see of it."""
