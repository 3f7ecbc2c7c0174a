"""The filters of build triggers, which are expressions in Google's Common Expression Language.

Source: https://cloud.google.com/build/docs/automate-builds-pubsub-events
"""

from collections.abc import Callable, Mapping

import cel

Filter = Callable[[Mapping[str, str]], bool]


def parse(expression: str) -> Filter:
    """Returns the filter as a function of a build's substitutions.

    A substitution that a build lacks is the empty text.

    Raises:
        ValueError: It does not parse, it calls an unknown function, or its result is no truth
            value. The function that this returns raises it, too, where a value does not fit.
    """
    try:
        program = cel.compile(expression)
    except ValueError as error:
        raise ValueError(_wrong(expression, error)) from None
    names = program.variables()

    def decide(values: Mapping[str, str]) -> bool:
        try:
            result = program.execute({name: values.get(name, "") for name in names})
        except (RuntimeError, TypeError, ValueError) as error:
            raise ValueError(_wrong(expression, error)) from None
        if not isinstance(result, bool):
            raise ValueError(_wrong(expression, "its result is not true or false"))
        return result

    decide({})
    return decide


def _wrong(expression: str, error: object) -> str:
    return f"the filter {expression!r} is not understood: {str(error).splitlines()[0]}"
