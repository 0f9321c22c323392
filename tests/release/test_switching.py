"""The short form of benchmarks/switching.py: publishers that switch, roll back and are killed, four readers."""

from benchmarks.switching import measure


def test_no_mixture_no_failed_read_and_no_step_back():
    found = measure(45, seed=3)
    assert (found["failed"], found["mixtures"], found["steps_back"], found["gaps"]) == (0, 0, 0, 0), found
    assert found["log_and_pointer_agree"] and found["kills"] > 5 and found["switches"] > 15 and found["reads"] > 100
    assert found["publications"] > found["switches"]
