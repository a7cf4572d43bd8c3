"""What the official APIs cost: list prices of autumn 2026 in millionths of a US dollar.

Source: docs/upstream/google-official.md, section 1. Where it leaves a choice: a picture costs its list price (not its
output tokens times their price); Omni costs its tokens, 5 792 for each second; a clip of Veo costs its seconds, an
extension the seconds that it adds; sound makes no difference. Input tokens cost where a price is given. Fractions of a
millionth are charged as one.
"""

from flow2api_sandbox.bill import Item, Unit

OMNI_TOKENS_PER_SECOND = 5792
_MILLION = 1_000_000

_BASE_PICTURE = {
    "gemini-3-pro-image": 134_000,
    "gemini-3.1-flash-image": 67_000,
    "gemini-3.1-flash-lite-image": 33_600,
    "gemini-nano-banana-2.1": 33_600,
    "gemini-2.5-flash-image": 39_000,
}
_OTHER_PICTURES = {("gemini-3-pro-image", "4K"): 240_000, ("gemini-3.1-flash-image", "512"): 45_000}
_PICTURE_TOKENS = {
    ("gemini-3-pro-image", "4K"): 2000,
    ("gemini-3.1-flash-image", "512"): 750,
    ("gemini-2.5-flash-image", "1K"): 1290,
}
_USUAL_PICTURE_TOKENS = 1120

# Per million tokens.
_INPUT_TOKENS = {
    "gemini-3-pro-image": 2_000_000,
    "gemini-3.1-flash-image": 500_000,
    "gemini-nano-banana-2.1": 1_500_000,
    "gemini-omni-1.1-flash": 1_500_000,
    "gemini-omni-1.2-flash": 1_500_000,
}
_OMNI_OUTPUT_TOKENS = 17_500_000

_VEO_SECONDS = {
    "veo-3.1": {"720p": 400_000, "1080p": 400_000, "4k": 600_000},
    "veo-3.1-fast": {"720p": 100_000, "1080p": 120_000, "4k": 300_000},
    "veo-3.1-lite": {"720p": 50_000, "1080p": 80_000},
}


def picture_tokens(model_id: str, size: str) -> int:
    """Output tokens that one picture counts for in ``usageMetadata``."""
    return _PICTURE_TOKENS.get((model_id, size), _USUAL_PICTURE_TOKENS)


def picture_items(model_id: str, size: str, *, input_tokens: int) -> tuple[Item, ...]:
    """One picture and what was put in."""
    price = _OTHER_PICTURES.get((model_id, size), _BASE_PICTURE[model_id])
    return (Item(Unit.IMAGE, size, 1, price), *_input_items(model_id, input_tokens))


def omni_items(model_id: str, seconds: int, resolution: str, *, input_tokens: int) -> tuple[Item, ...]:
    """One clip of Omni and what was put in."""
    tokens = OMNI_TOKENS_PER_SECOND * seconds
    item = Item(Unit.OUTPUT_TOKEN, f"video {resolution}", tokens, _part(tokens, _OMNI_OUTPUT_TOKENS))
    return (item, *_input_items(model_id, input_tokens))


def veo_item(grade: str, seconds: int, resolution: str, *, has_audio: bool) -> Item:
    """Seconds of Veo; ``grade`` is ``veo-3.1`` and the like."""
    variant = f"{resolution} {'audio' if has_audio else 'silent'}"
    return Item(Unit.SECOND, variant, seconds, _VEO_SECONDS[grade][resolution] * seconds)


def _input_items(model_id: str, tokens: int) -> tuple[Item, ...]:
    price = _INPUT_TOKENS.get(model_id)
    if price is None or tokens == 0:
        return ()
    return (Item(Unit.INPUT_TOKEN, "", tokens, _part(tokens, price)),)


def _part(tokens: int, price_per_million: int) -> int:
    return -(-tokens * price_per_million // _MILLION)
