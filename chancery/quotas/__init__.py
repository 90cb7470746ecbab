"""Rate limits: how many requests a client may send, for the whole server, a namespace, a mount or a path."""
