"""Keys that live in HSMs and KMSs: found, generated and used there; never exported."""
