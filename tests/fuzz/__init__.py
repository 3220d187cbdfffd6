"""Whatever bytes a server sends: see README.md here."""
