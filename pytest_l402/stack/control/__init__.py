"""The control plane: paywalls, tasks, switches, credential roles."""
