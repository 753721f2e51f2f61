"""A log that is the truth: segments of framed records, one writer an epoch."""
