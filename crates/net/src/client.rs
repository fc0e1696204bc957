//! The ready form of one HTTP client configuration.

mod configured;

use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use url::Url;

use crate::auth::{Auth, Source};
use crate::dial::Dial;
use crate::error::Error;
use crate::proxy::{Proxies, Proxy};
use crate::session::Session;
use crate::tls::{Tls, TlsSettings};

/// Knows how to reach, and to be accepted by, the targets of one job or one receiver. Cheap to
/// clone.
#[derive(Clone, Debug)]
pub struct Client {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dial: Arc<dyn Dial>,
    tls: Tls,
    settings: Settings,
}

/// What a client does beyond connecting.
pub(crate) struct Settings {
    pub(crate) auth: Auth,
    pub(crate) headers: Vec<(HeaderName, Source)>,
    pub(crate) connect_headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) proxies: Proxies,
    pub(crate) follow_redirects: bool,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings").finish_non_exhaustive()
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth: Auth::None,
            headers: Vec::new(),
            connect_headers: Vec::new(),
            proxies: Proxies::default(),
            follow_redirects: true,
        }
    }
}

impl Client {
    /// A client with the defaults of an empty configuration: no credentials, no proxy, the
    /// system's roots, redirects followed.
    pub fn plain(dial: Arc<dyn Dial>) -> Self {
        let tls = Tls::bare();
        Self { shared: Arc::new(Shared { dial, tls, settings: Settings::default() }) }
    }

    pub(crate) fn with(
        dial: Arc<dyn Dial>,
        tls: TlsSettings,
        settings: Settings,
    ) -> Result<Self, Error> {
        let tls = Tls::new(tls).map_err(Error::Config)?;
        Ok(Self { shared: Arc::new(Shared { dial, tls, settings }) })
    }

    /// A conversation with the host of `url`. No connection is made yet.
    pub fn session(&self, url: &Url) -> Session {
        Session::new(self.clone(), url.clone())
    }

    pub(crate) fn dial(&self) -> &dyn Dial {
        &*self.shared.dial
    }

    pub(crate) fn tls(&self) -> &Tls {
        &self.shared.tls
    }

    pub(crate) fn auth(&self) -> &Auth {
        &self.shared.settings.auth
    }

    pub(crate) fn headers(&self) -> &[(HeaderName, Source)] {
        &self.shared.settings.headers
    }

    pub(crate) fn connect_headers(&self) -> &[(HeaderName, HeaderValue)] {
        &self.shared.settings.connect_headers
    }

    pub(crate) fn follows_redirects(&self) -> bool {
        self.shared.settings.follow_redirects
    }

    pub(crate) fn proxy(&self, https: bool, host: &str, port: u16) -> Option<&Proxy> {
        self.shared.settings.proxies.on_way(https, host, port)
    }
}

#[cfg(test)]
mod tests;
