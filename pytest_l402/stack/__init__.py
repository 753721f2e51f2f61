"""The system under rehearsal: stand-ins that speak HTTP and check real cryptography."""
