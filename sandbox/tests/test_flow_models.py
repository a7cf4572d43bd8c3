"""The table of video keys against the list of public ids in the wire document."""

from pathlib import Path

import pytest

from flow2api_sandbox.accounts import Tier
from flow2api_sandbox.flow.models import LANDSCAPE, PORTRAIT, VIDEO_MODELS, SubmitKind

NO_KEY = "\N{EN DASH}"
DOCUMENT = Path(__file__).parents[2] / "docs" / "upstream" / "flow.md"
KINDS = {
    "t2v": {SubmitKind.TEXT},
    "i2v": {SubmitKind.START, SubmitKind.START_END},
    "r2v": {SubmitKind.REFERENCE},
    "omni": {SubmitKind.TEXT},
    "extend": {SubmitKind.EXTEND},
}


def documented_rows() -> list[tuple[str, str, str, str, str, str]]:
    """Id, type, orientation, seconds, key, key on Ultra of every video row."""
    rows = []
    for line in DOCUMENT.read_text().split("### Videos", 1)[1].splitlines():
        cells = [cell.strip().strip("`") for cell in line.strip("|").split("|")]
        if len(cells) == 9 and cells[1] in KINDS:
            ultra_key = cells[5] if cells[6] == "same" else cells[6]
            rows.append((cells[0], cells[1], cells[2], cells[4], cells[5], ultra_key))
    return rows


def test_document_lists_all_public_ids():
    assert len(documented_rows()) == 182


@pytest.mark.parametrize("row", documented_rows(), ids=lambda row: row[0])
def test_every_documented_key_is_known(row):
    _, kind, orientation, seconds, key, ultra_key = row
    ratio = LANDSCAPE if orientation == "L" else PORTRAIT
    for name, tier in ((key, Tier.ONE), (ultra_key, Tier.TWO)):
        if name == NO_KEY:
            continue
        model = VIDEO_MODELS[name]
        assert tier in model.tiers
        assert model.aspect_ratio in (None, ratio)
        assert model.seconds == int(seconds)
        assert model.kinds & KINDS[kind]


@pytest.mark.parametrize("key", [key for key in VIDEO_MODELS if key.endswith("_fl") or "_fl_" in key])
def test_two_frame_key_has_a_first_frame_twin(key):
    twin = VIDEO_MODELS[key.removesuffix("_fl").replace("_fl_", "_")]
    assert SubmitKind.START in twin.kinds
    assert twin.tiers == VIDEO_MODELS[key].tiers
