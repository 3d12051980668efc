from search.report.live import follow, is_over


def test_a_search_is_over_when_all_trials_are_trained_and_none_is_running(study, trial):
    two = (trial(0), trial(1, 0.2, "pruned"))
    assert not is_over(study(num_trials=3, trials=two))
    assert not is_over(study(num_trials=3, trials=(*two, trial(2, None, "failed"))))
    assert not is_over(study(num_trials=2, trials=(*two, trial(2, None, "running"))))
    assert is_over(study(num_trials=2, trials=two))


def test_what_goes_on_is_read_again_until_it_is_over(study, trial):
    views = iter([study(num_trials=1), study(num_trials=1, trials=(trial(0, None, "running"),)),
                  study(num_trials=1, trials=(trial(0),)), study()])  # fmt: skip
    pauses = []
    seen = list(follow(lambda: next(views), 7, pauses.append))
    assert [more for _, more in seen] == [True, True, False]
    assert seen[-1][0].trials[0].state == "complete"
    assert pauses == [7, 7]


def test_slow_work_makes_longer_pauses(study):
    times = iter([0.0, 5.0, 10.0])  # it begins, has taken five seconds, begins again
    views, pauses = iter([study(num_trials=1), study(num_trials=0)]), []
    list(follow(lambda: next(views), 2, pauses.append, lambda: next(times)))
    assert pauses == [20]
