"""What the server tells about its own work: metrics, the requests that are being served, traces."""
