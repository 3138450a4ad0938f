"""Work in plain threads belongs to where it was handed over."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from llmcost_plugins import attribute, in_context
from llmcost_plugins.labels import current_labels


def user() -> str | None:
    return current_labels().values.get("user")


def test_a_thread_pool_runs_in_the_context_of_the_place_that_handed_it_over() -> None:
    with ThreadPoolExecutor(2) as pool:
        with attribute(user="u1"):
            work = in_context(user)
            assert pool.submit(user).result() is None
        assert pool.submit(work).result() == "u1"


def test_several_threads_may_run_it_at_the_same_time() -> None:
    together = Barrier(4, timeout=10)

    def meet(number: int) -> tuple[int, str | None]:
        together.wait()
        return number, user()

    with attribute(user="u1"), ThreadPoolExecutor(4) as pool:
        assert list(pool.map(in_context(meet), range(4))) == [(n, "u1") for n in range(4)]


def test_labels_that_it_adds_stay_its_own() -> None:
    def inner() -> str | None:
        with attribute(user="u2"):
            return user()

    with attribute(user="u1"):
        assert in_context(inner)() == "u2"
        assert user() == "u1"


def test_it_keeps_the_name_of_the_function() -> None:
    assert in_context(user).__name__ == "user"
