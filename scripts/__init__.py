"""What developers run from the Makefile. The product imports nothing from here."""
