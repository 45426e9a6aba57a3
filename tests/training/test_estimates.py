from math import isclose

from training.estimates import Run, estimate_seconds


def test_without_a_former_run_nothing_is_claimed():
    assert estimate_seconds(1000, []) is None
    assert estimate_seconds(1000, [Run(0, 5), Run(5, 0)]) is None
    assert estimate_seconds(0, [Run(10, 5)]) is None


def test_one_run_gives_a_ratio_with_a_wide_interval():
    found = estimate_seconds(2000, [Run(1000, 10)])
    assert [round(each, 6) for each in (found.seconds, found.low_s, found.high_s)] == [20, 10, 40]


def test_runs_that_agree_narrow_the_interval_and_runs_that_do_not_widen_it():
    agree = estimate_seconds(1000, [Run(1000, 10), Run(1000, 10.1), Run(1000, 9.9)])
    differ = estimate_seconds(1000, [Run(1000, 5), Run(1000, 20)])
    assert isclose(agree.seconds, 10, rel_tol=0.01)
    assert isclose(agree.high_s / agree.seconds, 1.1, rel_tol=1e-6)
    assert isclose(differ.seconds, 10, rel_tol=1e-6)
    assert isclose(differ.high_s, 40, rel_tol=1e-6)  # no more than four times, however much two runs differ


def test_a_line_knows_what_each_run_takes_before_its_first_token():
    runs = [Run(n, 30 + n / 100) for n in (1000, 2000, 5000, 9000)]
    found = estimate_seconds(4000, runs)
    assert isclose(found.seconds, 70)
    assert found.low_s < 70 < found.high_s
    assert isclose(estimate_seconds(100, runs).seconds, 31)


def test_noise_makes_the_line_uncertain_the_more_the_further_away():
    runs = [Run(1000, 45), Run(2000, 43), Run(5000, 85), Run(9000, 118)]
    near, far = estimate_seconds(4000, runs), estimate_seconds(40_000, runs)
    assert near.high_s - near.seconds < far.high_s - far.seconds


def test_runs_of_one_size_make_no_line():
    found = estimate_seconds(2000, [Run(1000, 40)] * 4)
    assert isclose(found.seconds, 80)
