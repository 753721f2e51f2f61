"""The stack on ports of this machine, as a platform is deployed."""
