"""How a gateway is brought to what its control plane says, and back."""
