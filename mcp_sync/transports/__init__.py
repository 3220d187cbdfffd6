"""How bytes move: one module per wire binding, and what they share. No method names and no revisions in here."""
