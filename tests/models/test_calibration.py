import torch
from torch import nn

from memloc.models.calibration import calibrate
from memloc.models.frameworks.learner import Views


def batches(n=3):
    return [Views(torch.randn(10, 3, 4, 4, generator=torch.Generator().manual_seed(k)) * (k + 1)) for k in range(n)]


def test_statistics_are_the_plain_average_over_batches_and_nothing_but_normalisation_trains():
    encoder = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(3), nn.Flatten(), nn.BatchNorm1d(48)).eval()
    calibrate(encoder, batches())
    for statistic, of in (("running_mean", torch.mean), ("running_var", torch.var)):
        expected = torch.stack([of(b.images.transpose(0, 1).flatten(1), dim=1) for b in batches()]).mean(dim=0)
        torch.testing.assert_close(getattr(encoder[1], statistic), expected)
    assert int(encoder[3].num_batches_tracked) == 3
    assert not any(module.training for module in encoder.modules())


def test_without_batch_normalisation_no_view_is_drawn():
    calibrate(nn.Sequential(nn.Flatten(), nn.BatchNorm1d(48, track_running_stats=False)), iter(lambda: 1 / 0, 1))
