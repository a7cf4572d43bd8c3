"""Which addresses are public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address

# Only this part of IPv6 is global unicast; what embeds an IPv4 address outside it (mapped, compatible, NAT64)
# and every local or multicast range is left out at once. Source: IANA IPv6 address space registry.
_GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
# Inside it: Teredo and other protocol assignments, documentation, 6to4 (which embeds an IPv4 address), documentation.
# Source: IANA IPv6 special-purpose address registry.
_SPECIAL_V6: Final = tuple(IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20"))
# Beside what Python calls not global: protocol assignments (some are "global" to Python) and the 6to4 relays.
_SPECIAL_V4: Final = tuple(ip_network(network) for network in ("192.0.0.0/24", "192.88.99.0/24"))
# Interface identifiers of ISATAP, which embed an IPv4 address. Source: RFC 5214, section 6.1.
_ISATAP: Final = (0x0000_5EFE, 0x0200_5EFE)


def is_public(address: Address) -> bool:
    """Whether a connection to ``address`` leaves for the public internet, whatever notation it came in."""
    if isinstance(address, IPv4Address):
        is_special = any(address in network for network in _SPECIAL_V4)
        return address.is_global and not address.is_multicast and not address.is_reserved and not is_special
    if address.scope_id is not None or address not in _GLOBAL_UNICAST:
        return False
    if any(address in network for network in _SPECIAL_V6):
        return False
    return address.is_global and (int(address) >> 32) & 0xFFFF_FFFF not in _ISATAP
