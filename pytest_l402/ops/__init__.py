"""What an operator does to a gateway: ports and procedures, no stand-ins."""
