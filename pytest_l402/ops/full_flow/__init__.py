"""How the hosted path is run from end to end, and written down."""
