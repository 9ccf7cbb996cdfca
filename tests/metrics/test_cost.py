from __future__ import annotations

import numpy as np
from made_up_evidence import evidence

from gvr_bench.metrics.cost import seconds_per_image


def test_the_time_of_each_image_is_reported_as_it_was_measured():
    assert seconds_per_image(evidence(seconds=np.array([0.25, 3.0]))).tolist() == [0.25, 3.0]
