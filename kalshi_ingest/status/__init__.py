"""`status`: what is held, what past runs did."""
