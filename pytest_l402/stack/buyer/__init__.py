"""The buyer's side: executor, wallet, cached credentials."""
