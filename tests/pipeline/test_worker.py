import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import UserError
from pipeline.worker import Worker

NAMES = st.lists(st.text("abcdefgh-", min_size=1), unique=True)


def test_the_only_machine_of_a_run_has_its_name_and_trains_all_accounts() -> None:
    worker = Worker.parse("train-dev-2026-11-23")
    assert (worker.run, worker.machines) == ("train-dev-2026-11-23", ["train-dev-2026-11-23"])
    assert worker.share(["b", "a"]) == ["a", "b"]


def test_a_machines_name_tells_its_share() -> None:
    worker = Worker.parse("train-dev-2026-11-23-2of3")
    assert (worker.run, worker.number, worker.workers) == ("train-dev-2026-11-23", 2, 3)
    assert worker.machines == [f"train-dev-2026-11-23-{number}of3" for number in (1, 2, 3)]
    assert worker.share(list("abcdefgh")) == ["b", "e", "h"]


@given(NAMES, st.integers(1, 20))
def test_workers_train_every_account_and_none_of_them_twice(
    accounts: list[str], workers: int
) -> None:
    machines = Worker.parse(f"run-1of{workers}").machines
    shares = [Worker.parse(machine).share(accounts) for machine in machines]
    trained = [account for share in shares for account in share]
    assert sorted(trained) == sorted(accounts)
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


@pytest.mark.parametrize("name", ["", "A", "a/b", "../x", "a b", "-a", "a-", "x" * 64])
def test_a_name_that_no_machine_can_have_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=r"^run .*: use at most 63 "):
        Worker.parse(name)


@pytest.mark.parametrize("name", ["run-0of3", "run-4of3", "run-0of0"])
def test_a_worker_beyond_the_number_of_workers_is_refused(name: str) -> None:
    with pytest.raises(UserError, match=rf"^run '{name}': there is no worker \d of \d"):
        Worker.parse(name)
