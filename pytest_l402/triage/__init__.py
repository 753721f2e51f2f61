"""What records alone say: correlation, rules, incident files."""
