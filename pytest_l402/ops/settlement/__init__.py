"""How reported settlements are entered into books."""
