"""What every stand-in stands on: clock, randomness, faults, journal, network, servers, processes."""
