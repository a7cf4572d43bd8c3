from __future__ import annotations

from flow2api_token_service.access.passwords import Passwords


async def test_a_password_is_hashed_at_the_costs_of_rfc_9106():
    # Section 4, "second recommended option": 64 MiB, three passes, four lanes.
    assert (await Passwords().hash("correct horse")).startswith("$argon2id$v=19$m=65536,t=3,p=4$")
