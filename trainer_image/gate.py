"""Decides whether a trained model may go live.

Each function returns an objection to the model in one line, or None.
"""

# In nats. Two evaluations of equal models differ by less. Over many releases it adds up to little.
LOSS_TOLERANCE = 0.02
# Both shares are estimates. With shares of a fifth, 200 samples and 50 held-out tweets, their
# difference has a standard error of 6 points. The app posts no copies, so this only has to stop a
# model that writes little else.
MEMORISED_MORE = 0.25
# The app draws a batch for each post and drops the texts that it cannot use.
VALID_AT_LEAST = 0.5


def worse(held_out_loss: float, live: float | None) -> str | None:
    """Objects to a model that predicts the held-out tweets worse than the live one does."""
    if live is not None and held_out_loss > live + LOSS_TOLERANCE:
        return f"held-out loss {held_out_loss:.3f} is worse than the live release's {live:.3f}"
    return None


def memorised(samples: float, held_out: float) -> str | None:
    """Objects to samples that repeat training tweets more often than the held-out tweets do."""
    if samples > held_out + MEMORISED_MORE:
        return (
            f"{samples:.0%} of samples repeat 8 words of a training tweet, "
            f"{held_out:.0%} of held-out tweets do: fewer steps would help"
        )
    return None


def unusable(valid: float) -> str | None:
    """Objects to a model of which too few samples could be posted."""
    if valid < VALID_AT_LEAST:
        return f"{valid:.0%} of samples could be posted, {VALID_AT_LEAST:.0%} must"
    return None
