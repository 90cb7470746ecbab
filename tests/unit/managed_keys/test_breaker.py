"""When to try again."""

from managed_keys.providers.pkcs11.breaker import CLOSED, LONGEST_DELAY, Breaker


def test_delays_double_up_to_a_bound() -> None:
    breaker, delays = CLOSED, []
    for _ in range(12):
        breaker = breaker.failed(100.0)
        delays.append(breaker.until - 100.0)
    assert delays[:4] == [0.25, 0.5, 1.0, 2.0]
    assert delays[-1] == LONGEST_DELAY


def test_the_first_crash_is_free_and_the_second_is_not() -> None:
    once = CLOSED.failed(10.0, first_is_free=True)
    assert not once.is_open(10.0)
    twice = once.failed(10.0, first_is_free=True)
    assert twice.is_open(10.0)
    assert not twice.is_open(twice.until)


def test_retry_after_is_whole_seconds_and_never_none() -> None:
    assert Breaker(3, 12.3).retry_after(10.0) == 3
    assert Breaker(3, 5.0).retry_after(10.0) == 1
