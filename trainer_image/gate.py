"""Whether what was trained may go live: pure decisions.

Each returns why not, in one line, or None.
"""

# Two evaluations of equal models differ by less; repeated, it adds up to little.
LOSS_TOLERANCE = 0.02
# Both rates are estimates; of 200 samples and 50 held-out tweets at a fifth, the difference has a
# standard error of 6 points. The app posts no copy anyway: this stops a model that has little else.
MEMORISED_MORE = 0.25
# The app draws a batch for each post and drops what it cannot use.
VALID_AT_LEAST = 0.5


def worse(held_out_loss: float, live: float | None) -> str | None:
    """Whether the model predicts the held-out tweets worse than the live one does."""
    if live is not None and held_out_loss > live + LOSS_TOLERANCE:
        return f"held-out loss {held_out_loss:.3f} is worse than the live release's {live:.3f}"
    return None


def memorised(samples: float, held_out: float) -> str | None:
    """Whether samples repeat training tweets more often than the author repeats himself."""
    if samples > held_out + MEMORISED_MORE:
        return (
            f"{samples:.0%} of samples repeat 8 words of a training tweet, "
            f"{held_out:.0%} of held-out tweets do: fewer steps would help"
        )
    return None


def unusable(valid: float) -> str | None:
    """Whether too few samples could be posted."""
    if valid < VALID_AT_LEAST:
        return f"{valid:.0%} of samples could be posted, {VALID_AT_LEAST:.0%} must"
    return None
