from pipeline import news
from pipeline.settings import Settings

SETTINGS = Settings(min_tweets=100, min_new_tweets=20)


def test_too_few_tweets_are_not_trained_on() -> None:
    assert news.too_few(100, 10, SETTINGS) is None
    assert "99 tweets, min_tweets is 100" in str(news.too_few(99, 10, SETTINGS))


def test_a_corpus_without_held_out_tweets_is_not_trained_on() -> None:
    assert "held-out" in str(news.too_few(100, 0, SETTINGS))


def test_too_few_new_tweets_are_skipped() -> None:
    assert "19 new tweets" in str(news.nothing_new(19, SETTINGS, SETTINGS))
    assert news.nothing_new(20, SETTINGS, SETTINGS) is None


def test_an_account_is_trained_again_with_other_settings() -> None:
    assert news.nothing_new(0, SETTINGS, Settings(min_tweets=100, steps=7)) is None
