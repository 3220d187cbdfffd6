"""How a client finds out which URL, transport and revision its server speaks."""
