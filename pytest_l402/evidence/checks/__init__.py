"""The checks, by theme; `pytest_l402.evidence` offers them."""
