"""Prompts for upstreams that have no field for what must not be shown."""


def prompt_text(prompt: str, negative_prompt: str) -> str:
    """The prompt, with the negative one said in words."""
    return f"{prompt}\n\nAvoid: {negative_prompt}" if negative_prompt else prompt
