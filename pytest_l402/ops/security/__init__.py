"""How the security controls of a control plane are drilled."""
