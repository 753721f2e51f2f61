"""The seller's side: gateway, edge, node and API."""
