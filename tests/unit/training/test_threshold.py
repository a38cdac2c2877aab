import numpy as np
import pytest

from seakeep.records.model import Threshold, TopShare
from seakeep.training.threshold import choose_threshold


def test_a_declared_score_is_taken_as_it_is():
    assert choose_threshold(Threshold(0.3), np.array([0.1, 0.9])) == 0.3


def test_the_share_of_the_rows_says_yes_and_none_stands_on_the_threshold():
    scores = np.random.default_rng(0).random(1_000)
    threshold = choose_threshold(TopShare(0.1), scores)
    assert np.sum(scores >= threshold) == 100
    assert threshold not in scores


def test_the_last_bit_of_a_score_does_not_decide():
    scores = np.random.default_rng(0).random(1_000)
    threshold = choose_threshold(TopShare(0.1), scores)
    assert np.array_equal(np.nextafter(scores, 0) >= threshold, np.nextafter(scores, 1) >= threshold)


def test_equal_scores_are_not_parted_and_the_nearest_share_is_taken():
    scores = np.array([0.9] * 8 + [0.5] * 30 + [0.1] * 62)
    assert np.mean(scores >= choose_threshold(TopShare(0.1), scores)) == pytest.approx(0.08)
    assert np.mean(scores >= choose_threshold(TopShare(0.3), scores)) == pytest.approx(0.38)


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_the_extremes_stay_within_the_scores(share):
    scores = np.array([0.2, 0.4, 0.6])
    assert 1 <= np.sum(scores >= choose_threshold(TopShare(share), scores)) <= 3


def test_one_score_for_all_says_yes_to_all():
    assert choose_threshold(TopShare(0.1), np.full(5, 0.3)) == 0.3


def test_neighbouring_floats_are_told_apart():
    low = 0.5
    high = float(np.nextafter(low, 1))
    threshold = choose_threshold(TopShare(0.5), np.array([low, high]))
    assert low < threshold <= high
