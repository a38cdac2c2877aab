import pytest

from seakeep.config import KeySettings, ServingSettings
from seakeep.errors import PlatformError, QuotaError
from seakeep.serving import quota
from seakeep.serving.quota import Quotas


def settings(**rates):
    return ServingSettings(max_rows=100, keys={name: KeySettings(rows_per_second=rate) for name, rate in rates.items()})


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now_s = 1000.0

        def monotonic(self):
            return self.now_s

    found = Clock()
    monkeypatch.setattr(quota, "time", found)
    return found


def taken(quotas, principal, rows=1, tries=100):
    """How many requests were taken, and when the first that was not may come again."""
    for count in range(tries):
        try:
            quotas.spend(principal, rows)
        except QuotaError as error:
            return count, error.retry_after_s
    return tries, 0


def test_without_quotas_nothing_is_made_and_nobody_is_held(tmp_path):
    quotas = Quotas(settings(a=0), tmp_path / "none")
    assert not quotas
    assert taken(quotas, "a") == (100, 0)
    assert not (tmp_path / "none").exists()


def test_a_key_may_use_a_second_s_worth_at_once_and_then_its_rate(tmp_path, clock):
    quotas = Quotas(settings(a=10, b=20), tmp_path)
    assert quotas
    assert taken(quotas, "a") == (10, 1)
    assert taken(quotas, "b") == (20, 1)
    assert taken(quotas, "stranger") == (100, 0)
    clock.now_s += 0.35
    assert taken(quotas, "a") == (4, 1)
    clock.now_s += 60
    assert taken(quotas, "a") == (10, 1)


def test_a_large_request_is_taken_and_paid_off(tmp_path, clock):
    quotas = Quotas(settings(a=10), tmp_path)
    quotas.spend("a", 100)
    assert taken(quotas, "a") == (0, 9)
    clock.now_s += 8.9
    assert taken(quotas, "a") == (0, 1)
    clock.now_s += 0.2
    assert taken(quotas, "a") == (1, 1)


def test_all_workers_count_together(tmp_path, clock):
    one, other = (Quotas(settings(a=10), tmp_path) for _ in range(2))
    assert taken(one, "a", tries=4) == (4, 0)
    assert taken(other, "a") == (6, 1)


def test_a_clock_that_began_anew_holds_a_key_only_so_long(tmp_path, clock):
    quotas = Quotas(settings(a=10), tmp_path)
    quotas.spend("a", 1)
    clock.now_s = 1.0
    assert taken(quotas, "a") == (0, 10)


def test_a_file_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PlatformError, match="the file of quotas"):
        Quotas(settings(a=1), tmp_path / "file")
