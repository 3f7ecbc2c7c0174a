"""Every stand-in has a contract, and the page that lists them is as it has to be."""

from tests.contracts.coverage import PAGE, ROOT, contracts, page, stand_ins


def test_every_stand_in_says_what_it_stands_in_for() -> None:
    files = {f"local/machine/standins/{file.name}"
             for file in (ROOT / "local/machine/standins").iterdir()
             if file.is_file() and file.name != "__init__.py"}  # fmt: skip
    assert files <= stand_ins().keys()


def test_every_stand_in_has_a_contract() -> None:
    held = {path for path, _, _ in contracts()}
    assert stand_ins().keys() - held == set()


def test_every_contract_is_of_a_stand_in_that_there_is() -> None:
    assert {path for path, _, _ in contracts()} - stand_ins().keys() == set()


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "write it again: python -m tests.contracts.coverage"
