//! Reach: which addresses a URL that a partner influences may lead to.
//!
//! Comes in   the exceptions that people configured, as blocks of addresses; names to resolve.
//! Goes out   the addresses that may be connected to, and no others.
//! Never      judges a name: only an address, and the very one that is connected to. A name that
//!            resolves otherwise at the second time (DNS rebinding) gains nothing by it.
//!
//! Why: whoever can make a gateway ask a URL can make it ask what only the gateway sees, its own
//! machine, the hospital's network, a cloud's metadata. What is refused is what the registries of
//! special addresses (RFC 6890) set apart, with addresses that carry such an IPv4 address inside.

use crate::limits::NETWORKS_MAX;
use exchange::{Code, Issue};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// A block of addresses: `10.0.0.0/8`, `fd00::/8`, or one address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Block {
    base: IpAddr,
    bits: u32,
}

impl Block {
    fn parse(text: &str) -> Option<Block> {
        let (base, bits) =
            text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().ok()?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) if bits.bytes().all(|it| it.is_ascii_digit()) => bits.parse().ok()?,
            Some(_) => return None,
            None => most,
        };
        (bits <= most).then_some(Block { base, bits })
    }

    fn holds(&self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differ = u32::from(base) ^ u32::from(address);
                differ.checked_shr(32 - self.bits).unwrap_or(0) == 0
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differ = u128::from(base) ^ u128::from(address);
                differ.checked_shr(128 - self.bits).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

/// What may be connected to beside the public addresses.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Network {
    allow: Vec<Block>,
}

impl Network {
    /// The public addresses, and these blocks.
    ///
    /// Errors: `ConfigInvalid` for what is no block of addresses.
    pub fn allowing(blocks: &[String]) -> Result<Network, Issue> {
        let invalid =
            |detail: &str| Issue::new(Code::ConfigInvalid, detail).at("house.toml: network.allow");
        if blocks.len() > NETWORKS_MAX {
            return Err(invalid("at most 100 blocks of addresses are allowed"));
        }
        let parse = |text: &String| {
            let detail = "an entry is a block of addresses such as 10.20.0.0/16 or fd00::/8";
            Block::parse(text).ok_or_else(|| invalid(detail))
        };
        Ok(Network { allow: blocks.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// Whether an address may be connected to.
    pub fn permits(&self, address: IpAddr) -> bool {
        // An IPv4 address in IPv6 form is the same machine.
        let plain = address.to_canonical();
        let named = |address| self.allow.iter().any(|block| block.holds(address));
        named(plain) || named(address) || is_public(plain)
    }

    /// Whether the host of a URL may be connected to, as far as the URL itself tells: where it is an
    /// address. A name is judged by what it resolves to.
    pub(crate) fn permits_host(&self, host: &str) -> bool {
        bare(host).parse().map_or(true, |address| self.permits(address))
    }
}

/// A host of a URL without the brackets of an IPv6 address.
pub(crate) fn bare(host: &str) -> &str {
    host.trim_start_matches('[').trim_end_matches(']')
}

/// Whether an address belongs to the public internet (RFC 6890 and the registries it founded).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)            // this network, private, loopback
            | (100, 64..=127, _)        // shared by carriers (RFC 6598); some clouds' metadata
            | (169, 254, _)             // link-local; clouds' metadata
            | (172, 16..=31, _)         // private
            | (192, 0, 0 | 2)           // protocol assignments, documentation
            | (192, 88, 99)             // 6to4 relays
            | (192, 168, _)             // private
            | (198, 18..=19, _)         // benchmarks
            | (198, 51, 100)            // documentation
            | (203, 0, 113)             // documentation
            | (224..=255, _, _) // multicast, reserved, broadcast
    ) && address != Ipv4Addr::new(168, 63, 129, 16) // a cloud's own machine at a public address
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let parts = address.segments();
    let inside = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    match parts {
        // NAT64 (RFC 6052): the IPv4 address stands at the end. That of local use is local.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => inside(high, low),
        // 6to4 (RFC 3056): behind the prefix.
        [0x2002, high, low, ..] => inside(high, low),
        // Teredo, benchmarks, ORCHID and the rest of the protocol assignments; documentation.
        [0x2001, second, ..] => second > 0x1ff && second != 0xdb8,
        // All that is handed out to the internet is in 2000::/3, without documentation in 3fff::/20.
        [0x3fff, second, ..] => second > 0x0fff,
        [first, ..] => (0x2000..0x4000).contains(&first),
    }
}

/// Resolves names by the system, and hands out only what may be connected to.
#[derive(Debug, Clone)]
pub(crate) struct Guide(pub(crate) Network);

/// The text by which a refusal of the guide is told from a name without an address.
pub(crate) const BEYOND_REACH: &str = "its address is not one that a partner's URL may lead to";

impl Resolve for Guide {
    fn resolve(&self, name: Name) -> Resolving {
        let network = self.0.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(permitted(&network, found.collect())?)
        })
    }
}

/// Those that may be connected to; an error where there are others only.
fn permitted(network: &Network, found: Vec<SocketAddr>) -> Result<Addrs, std::io::Error> {
    let none = found.is_empty();
    let good: Vec<SocketAddr> =
        found.into_iter().filter(|address| network.permits(address.ip())).collect();
    if good.is_empty() && !none {
        return Err(std::io::Error::new(std::io::ErrorKind::PermissionDenied, BEYOND_REACH));
    }
    Ok(Box::new(good.into_iter()))
}

#[cfg(test)]
mod tests {
    //! Goal: nothing but the public internet, and what people named, however an address is written.

    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn only_public_addresses_are_within_reach() {
        let table = [
            ("a public one", "93.184.215.14", true),
            ("a public one of IPv6", "2606:4700::1111", true),
            ("the end of IPv4's public blocks", "223.255.255.254", true),
            ("beside the carriers' block", "100.128.0.1", true),
            ("beside the private block", "172.32.0.1", true),
            ("this machine", "127.0.0.1", false),
            ("this machine, elsewhere in the block", "127.9.8.7", false),
            ("this machine of IPv6", "::1", false),
            ("no address", "0.0.0.0", false),
            ("this network", "0.1.2.3", false),
            ("no address of IPv6", "::", false),
            ("private, 10/8", "10.1.2.3", false),
            ("private, 172.16/12", "172.31.255.1", false),
            ("private, 192.168/16", "192.168.1.1", false),
            ("shared by carriers", "100.64.0.1", false),
            ("link-local", "169.254.1.1", false),
            ("a cloud's metadata", "169.254.169.254", false),
            ("another cloud's metadata", "100.100.100.200", false),
            ("a third cloud's own machine", "168.63.129.16", false),
            ("metadata of IPv6", "fd00:ec2::254", false),
            ("link-local of IPv6", "fe80::1", false),
            ("site-local of old", "fec0::1", false),
            ("unique local", "fd12:3456::1", false),
            ("multicast", "224.0.0.1", false),
            ("multicast of IPv6", "ff02::1", false),
            ("broadcast", "255.255.255.255", false),
            ("reserved", "240.0.0.1", false),
            ("documentation", "203.0.113.7", false),
            ("documentation of IPv6", "2001:db8::1", false),
            ("benchmarks", "198.18.0.1", false),
            ("protocol assignments", "192.0.0.8", false),
            ("mapped loopback", "::ffff:127.0.0.1", false),
            ("mapped metadata", "::ffff:a9fe:a9fe", false),
            ("mapped and public", "::ffff:93.184.215.14", true),
            ("compatible of old", "::127.0.0.1", false),
            ("6to4 of loopback", "2002:7f00:1::", false),
            ("6to4 of a private one", "2002:c0a8:101::1", false),
            ("6to4 of a public one", "2002:5db8:d70e::1", true),
            ("NAT64 of metadata", "64:ff9b::169.254.169.254", false),
            ("NAT64 of a private one", "64:ff9b::10.0.0.1", false),
            ("NAT64 of a public one", "64:ff9b::93.184.215.14", true),
            ("NAT64 of local use", "64:ff9b:1::10.0.0.1", false),
            ("Teredo", "2001:0:4136:e378:8000:63bf:3fff:fdd2", false),
            ("what is not handed out", "4000::1", false),
        ];
        let network = Network::default();
        for (case, address, permitted) in table {
            assert_eq!(network.permits(address.parse().unwrap()), permitted, "{case}");
        }
    }

    #[test]
    fn what_people_name_is_within_reach_and_nothing_beside() {
        let list = |blocks: &[&str]| blocks.iter().map(|it| (*it).to_owned()).collect::<Vec<_>>();
        let network = Network::allowing(&list(&["127.0.0.0/8", "::1", "10.20.0.0/16"])).unwrap();
        let table = [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.20.255.1", true),
            ("10.21.0.1", false),
            ("169.254.169.254", false),
            ("::2", false),
        ];
        for (address, permitted) in table {
            assert_eq!(network.permits(address.parse().unwrap()), permitted, "{address}");
        }
        let all = Network::allowing(&list(&["0.0.0.0/0", "::/0"])).unwrap();
        assert!(
            all.permits("10.0.0.1".parse().unwrap()) && all.permits("fe80::1".parse().unwrap())
        );
        for wrong in
            ["", "localhost", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "::/129", "10.0/8"]
        {
            let issue = Network::allowing(&list(&[wrong])).unwrap_err();
            assert_eq!(issue.code, Code::ConfigInvalid, "{wrong}");
        }
    }

    #[test]
    fn a_name_with_forbidden_addresses_leads_to_none_of_them() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 0);
        let network = Network::default();
        let mixed = permitted(&network, vec![at("10.0.0.1"), at("93.184.215.14")]).unwrap();
        assert_eq!(mixed.collect::<Vec<_>>(), [at("93.184.215.14")]);
        assert!(permitted(&network, vec![at("10.0.0.1"), at("::1")]).is_err());
    }
}
