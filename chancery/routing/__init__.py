"""From a path to the engine that serves it: route patterns compiled once, mounts found by longest prefix."""
