import pytest
import timm
import torch

from telltale.errors import ModelError
from telltale.model.backbone import Architecture
from telltale.model.mobilenetv2 import build_mobilenetv2
from telltale.model.zoo import create_backbone


@pytest.mark.parametrize("options", [{}, {"bn_eps": 0.01, "pad_type": "same", "global_pool": "max"}], ids=str)
@pytest.mark.parametrize("width", [35, 140])
def test_at_timms_own_widths_it_is_timms_network(width, options):
    ours = build_mobilenetv2(width, options).eval()
    theirs = timm.create_model(f"mobilenetv2_{width:03d}", num_classes=0, **options).eval()
    theirs.load_state_dict(ours.state_dict())
    x = torch.rand(2, 3, 65, 65)
    with torch.inference_mode():
        assert torch.equal(ours(x), theirs(x))
    assert str(ours) == str(theirs)


def test_an_option_that_it_does_not_take_is_refused():
    with pytest.raises(ModelError, match=r"The network 'mobilenetv2_130' cannot be built with \{'wheels': 4\}"):
        create_backbone(Architecture("mobilenetv2_130", (("wheels", 4),), 64))
