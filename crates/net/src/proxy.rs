//! Which requests go through a proxy, and which one.

use std::net::IpAddr;

use url::Url;

use crate::error::Error;

/// The proxies of a client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    http: Option<Proxy>,
    https: Option<Proxy>,
    exempt: Vec<Exempt>,
    /// Go asks no proxy of the environment for this machine's own addresses.
    spare_local: bool,
}

/// One proxy.
#[derive(Clone, Debug)]
pub(crate) struct Proxy {
    pub(crate) tls: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The `Proxy-Authorization` that its address carries.
    pub(crate) authorization: Option<Secret>,
}

/// A header value that is never printed.
#[derive(Clone)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<secret>")
    }
}

/// A host that is reached directly.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Exempt {
    All,
    /// The name itself, unless only names below it are meant, and all below it; on one port only
    /// if one is given.
    Name {
        name: String,
        below_only: bool,
        port: Option<u16>,
    },
    Network {
        base: IpAddr,
        bits: u32,
    },
}

impl Proxies {
    /// All requests through `proxy`, but for those to the hosts in `no_proxy`.
    pub(crate) fn fixed(proxy: &Url, no_proxy: &str) -> Result<Self, Error> {
        let proxy = Proxy::new(proxy)?;
        Ok(Self {
            http: Some(proxy.clone()),
            https: Some(proxy),
            exempt: exempts(no_proxy),
            spare_local: false,
        })
    }

    /// As the environment says: `HTTP_PROXY`, `HTTPS_PROXY`, `NO_PROXY`, in capitals or not.
    pub(crate) fn from_environment() -> Result<Self, Error> {
        let get = |name: &str| {
            let lower = name.to_ascii_lowercase();
            std::env::var(name).or_else(|_| std::env::var(lower)).unwrap_or_default()
        };
        Self::from_variables(&get("HTTP_PROXY"), &get("HTTPS_PROXY"), &get("NO_PROXY"))
    }

    fn from_variables(http: &str, https: &str, no_proxy: &str) -> Result<Self, Error> {
        let parse = |text: &str| -> Result<Option<Proxy>, Error> {
            if text.is_empty() {
                return Ok(None);
            }
            let url = if text.contains("://") {
                Url::parse(text)
            } else {
                Url::parse(&format!("http://{text}"))
            };
            let url = url.map_err(|e| Error::config(format!("invalid proxy address: {e}")))?;
            Proxy::new(&url).map(Some)
        };
        Ok(Self {
            http: parse(http)?,
            https: parse(https)?,
            exempt: exempts(no_proxy),
            spare_local: true,
        })
    }

    /// The proxy on the way to `host`, if there is one.
    pub(crate) fn on_way(&self, https: bool, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if https { self.https.as_ref() } else { self.http.as_ref() }?;
        let ip: Option<IpAddr> = host.parse().ok();
        let local = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        let spared = (self.spare_local && local)
            || self.exempt.iter().any(|exempt| exempt.covers(host, ip, port));
        (!spared).then_some(proxy)
    }
}

impl Proxy {
    fn new(url: &Url) -> Result<Self, Error> {
        let tls = match url.scheme() {
            "http" => false,
            "https" => true,
            other => return Err(Error::config(format!("proxy scheme {other:?} not supported"))),
        };
        let host = host_of(url).ok_or_else(|| Error::config("proxy address without a host"))?;
        let port = url.port_or_known_default().unwrap_or(80);
        Ok(Self { tls, host, port, authorization: crate::auth::userinfo(url).map(Secret) })
    }
}

impl Exempt {
    fn covers(&self, host: &str, ip: Option<IpAddr>, port: u16) -> bool {
        match self {
            Self::All => true,
            Self::Name { name, below_only, port: only } => {
                let below = host
                    .strip_suffix(name.as_str())
                    .is_some_and(|head| head.ends_with('.') && ip.is_none());
                only.is_none_or(|only| only == port) && (below || (!below_only && host == name))
            }
            Self::Network { base, bits } => ip.is_some_and(|ip| same_network(ip, *base, *bits)),
        }
    }
}

fn same_network(a: IpAddr, b: IpAddr, bits: u32) -> bool {
    match (a, b) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX.checked_shl(32 - bits.min(32)).unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX.checked_shl(128 - bits.min(128)).unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        _ => false,
    }
}

fn exempts(no_proxy: &str) -> Vec<Exempt> {
    let entries = no_proxy.split(',').map(str::trim).filter(|entry| !entry.is_empty());
    entries.map(|entry| exempt(&entry.to_ascii_lowercase())).collect()
}

fn exempt(entry: &str) -> Exempt {
    if entry == "*" {
        return Exempt::All;
    }
    if let Some((base, bits)) = entry.split_once('/')
        && let (Ok(base), Ok(bits)) = (base.parse(), bits.parse())
    {
        return Exempt::Network { base, bits };
    }
    if let Ok(base) = entry.trim_matches(['[', ']']).parse::<IpAddr>() {
        return Exempt::Network { base, bits: if base.is_ipv4() { 32 } else { 128 } };
    }
    let (name, port) = match entry.rsplit_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok() => (name, port.parse().ok()),
        _ => (entry, None),
    };
    let name = name.strip_prefix('*').unwrap_or(name);
    let bare = name.strip_prefix('.');
    Exempt::Name { name: bare.unwrap_or(name).to_owned(), below_only: bare.is_some(), port }
}

/// The host of `url` as it is dialled: without the brackets of IPv6.
pub(crate) fn host_of(url: &Url) -> Option<String> {
    match url.host()? {
        url::Host::Domain(name) => Some(name.to_owned()),
        url::Host::Ipv4(ip) => Some(ip.to_string()),
        url::Host::Ipv6(ip) => Some(ip.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spares_the_hosts_it_should() {
        let proxies = Proxies::from_variables(
            "proxy:3128",
            "http://u:p@proxy:3129",
            "example.com,.only.below,10.0.0.0/8,::1,host:81",
        )
        .unwrap();
        let reached = |https, host, port| proxies.on_way(https, host, port).map(|p| p.port);
        assert_eq!(reached(false, "other.org", 80), Some(3128));
        assert_eq!(reached(true, "other.org", 443), Some(3129));
        assert_eq!(reached(false, "example.com", 80), None);
        assert_eq!(reached(false, "a.example.com", 80), None);
        assert_eq!(reached(false, "notexample.com", 80), Some(3128));
        assert_eq!(reached(false, "only.below", 80), Some(3128));
        assert_eq!(reached(false, "x.only.below", 80), None);
        assert_eq!(reached(false, "10.1.2.3", 80), None);
        assert_eq!(reached(false, "11.1.2.3", 80), Some(3128));
        assert_eq!(reached(false, "host", 81), None);
        assert_eq!(reached(false, "host", 80), Some(3128));
        assert_eq!(reached(false, "localhost", 80), None);
        assert!(!format!("{proxies:?}").contains("dTpw"));
        assert!(Proxies::from_variables("socks5://a", "", "").is_err());
    }
}
