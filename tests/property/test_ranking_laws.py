import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from seakeep.records.model import TopShare
from seakeep.training.evaluate import Scored, evaluate, roc_auc
from seakeep.training.threshold import choose_threshold

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), min_size=2, max_size=60)


def split(rows):
    return np.array([one for one, _ in rows], dtype=np.float64), np.array([score / 12 for _, score in rows])


@given(ROWS)
def test_the_area_is_the_share_of_pairs_in_order_ties_counted_half(rows):
    label, score = split(rows)
    yes, no = score[label == 1], score[label == 0]
    area = roc_auc(label, score)
    if not len(yes) or not len(no):
        assert np.isnan(area)
        return
    pairs = (yes[:, None] > no).mean() + (yes[:, None] == no).mean() / 2
    assert abs(area - pairs) < 1e-12


@given(ROWS)
def test_the_area_depends_on_the_order_of_scores_alone(rows):
    label, score = split(rows)
    np.testing.assert_allclose(roc_auc(label, score), roc_auc(label, np.exp(3 * score)), equal_nan=True)


@settings(max_examples=30)
@given(ROWS, st.randoms(use_true_random=False))
def test_metrics_do_not_depend_on_the_order_of_rows(rows, random):
    label, score = split(rows)
    order = list(range(len(rows)))
    random.shuffle(order)
    whole = Scored(label=label, score=score, time_us=np.arange(len(rows)) * 86_400_000_000)
    one, other = (evaluate(each, threshold=0.5, resamples=20) for each in (whole, whole.select(np.array(order))))
    assert one.keys() == other.keys()
    for name, metric in one.items():
        np.testing.assert_allclose(
            (metric.value, metric.low, metric.high), (other[name].value, other[name].low, other[name].high), atol=1e-9
        )


@given(st.lists(st.floats(0, 1), min_size=1, max_size=80), st.floats(0.01, 0.99))
def test_no_other_threshold_comes_nearer_to_the_share(scores, share):
    values = np.array(scores)
    chosen = np.mean(values >= choose_threshold(TopShare(share), values))
    best = min(abs(np.mean(values >= other) - share) for other in values)
    assert abs(chosen - share) <= best + 1e-12
