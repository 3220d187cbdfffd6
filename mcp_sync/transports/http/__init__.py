"""HTTP: requests sent under a deadline, answers read within bounds."""
