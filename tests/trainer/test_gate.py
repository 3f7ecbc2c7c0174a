from trainer_image import gate


def test_the_first_release_has_nothing_to_be_worse_than() -> None:
    assert gate.worse(9.9, None) is None


def test_a_model_may_not_be_worse_than_the_live_one() -> None:
    assert gate.worse(1.51, 1.5) is None
    assert gate.worse(1.4, 1.5) is None
    assert "1.530 is worse than the live release's 1.500" in str(gate.worse(1.53, 1.5))


def test_a_model_may_repeat_training_tweets_about_as_often_as_their_author() -> None:
    assert gate.memorised(0.4, 0.2) is None
    assert "46% of samples" in str(gate.memorised(0.46, 0.2))


def test_half_of_the_samples_must_be_usable() -> None:
    assert gate.unusable(0.5) is None
    assert "49% of samples" in str(gate.unusable(0.49))
