"""One server, one session at a time, and what all of a client's threads share of it."""
