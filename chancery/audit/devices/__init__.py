"""The built-in devices: file, syslog, socket."""
