"""What the protocol decides: no threads, sockets or clocks in here."""
