"""Durations in the words of Go, which Vault's warnings and errors use."""


def in_words(seconds: int) -> str:
    """Return whole seconds as `768h0m0s`, `2m0s`, `5s` or `0s`."""
    sign, rest = ("-", -seconds) if seconds < 0 else ("", seconds)
    hours, rest = divmod(rest, 3600)
    minutes, rest = divmod(rest, 60)
    if hours:
        return f"{sign}{hours}h{minutes}m{rest}s"
    return f"{sign}{minutes}m{rest}s" if minutes else f"{sign}{rest}s"
