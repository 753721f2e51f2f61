"""A billing service whose log is the truth, in processes of its own."""
