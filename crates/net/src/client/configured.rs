//! From the configuration to a client.

use std::path::Path;
use std::sync::Arc;

use http::{HeaderName, HeaderValue};
use narthex_config::Secret;
use narthex_config::http::{
    Authorization, BasicAuth, Header, HttpClient, OAuth2, Proxy, TlsConfig, TlsVersion,
};
use url::Url;

use super::{Client, Settings};
use crate::auth::{self, Auth, Source, sensitive};
use crate::dial::Dial;
use crate::error::Error;
use crate::proxy::Proxies;
use crate::tls::{Pem, TlsSettings};

impl Client {
    /// The client that `config` describes. Relative paths in it are below `base_dir`; files with
    /// secrets are read again at each use, those with certificates at each connection.
    ///
    /// # Errors
    /// [`Error::Config`] when something in it cannot be used: a certificate that is not one, a
    /// file that cannot be read, a proxy of a kind that is not supported.
    pub fn new(config: &HttpClient, base_dir: &Path, dial: Arc<dyn Dial>) -> Result<Self, Error> {
        let paths = Paths { base_dir };
        let mut headers = Vec::new();
        for (name, header) in &config.http_headers {
            let name = header_name(name)?;
            for source in paths.values_of(header) {
                headers.push((name.clone(), source));
            }
        }
        let settings = Settings {
            auth: paths.auth(config, &dial)?,
            headers,
            connect_headers: connect_headers(&config.proxy)?,
            proxies: proxies(&config.proxy)?,
            follow_redirects: config.follow_redirects,
        };
        Self::with(dial, paths.tls(&config.tls_config)?, settings)
    }
}

/// Makes paths absolute.
#[derive(Clone, Copy)]
struct Paths<'a> {
    base_dir: &'a Path,
}

impl Paths<'_> {
    fn auth(self, config: &HttpClient, dial: &Arc<dyn Dial>) -> Result<Auth, Error> {
        if let Some(BasicAuth { username, username_file, password, password_file }) =
            &config.basic_auth
        {
            let username = self.source(username.as_deref(), username_file.as_deref());
            let password =
                self.source(password.as_ref().map(Secret::expose), password_file.as_deref());
            return Auth::basic(username, password);
        }
        if let Some(Authorization { r#type, credentials, credentials_file }) = &config.authorization
        {
            let credentials = credentials.as_ref().map(Secret::expose);
            return Auth::scheme(r#type, self.source(credentials, credentials_file.as_deref()));
        }
        match &config.oauth2 {
            Some(oauth2) => self.oauth2(oauth2, Arc::clone(dial)),
            None => Ok(Auth::None),
        }
    }

    fn oauth2(self, oauth2: &OAuth2, dial: Arc<dyn Dial>) -> Result<Auth, Error> {
        let token_url = Url::parse(&oauth2.token_url)
            .map_err(|e| Error::config(format!("oauth2 token_url: {e}")))?;
        let settings = Settings {
            connect_headers: connect_headers(&oauth2.proxy)?,
            proxies: proxies(&oauth2.proxy)?,
            ..Settings::default()
        };
        let secret = oauth2.client_secret.as_ref().map(Secret::expose);
        Ok(Auth::OAuth2(Box::new(auth::OAuth2 {
            client: Client::with(dial, self.tls(&oauth2.tls_config)?, settings)?,
            token_url,
            client_id: oauth2.client_id.clone(),
            client_secret: self.source(secret, oauth2.client_secret_file.as_deref()),
            scopes: oauth2.scopes.clone(),
            params: oauth2.endpoint_params.clone().into_iter().collect(),
            token: tokio::sync::Mutex::default(),
        })))
    }

    fn tls(self, config: &TlsConfig) -> Result<TlsSettings, Error> {
        if config.max_version.is_some_and(|max| max < TlsVersion::Tls12) {
            return Err(Error::config("tls_config max_version: TLS before 1.2 is not supported"));
        }
        let key = config.key.as_ref().map(Secret::expose);
        Ok(TlsSettings {
            ca: self.pem(config.ca.as_deref(), config.ca_file.as_deref()),
            cert: self.pem(config.cert.as_deref(), config.cert_file.as_deref()),
            key: self.pem(key, config.key_file.as_deref()),
            server_name: config.server_name.clone().filter(|name| !name.is_empty()),
            insecure_skip_verify: config.insecure_skip_verify,
            no_tls12: config.min_version == Some(TlsVersion::Tls13),
            no_tls13: config.max_version == Some(TlsVersion::Tls12),
        })
    }

    fn pem(self, text: Option<&str>, file: Option<&str>) -> Option<Pem> {
        let text = text.filter(|text| !text.is_empty()).map(|text| Pem::Inline(text.to_owned()));
        let file = file.filter(|file| !file.is_empty());
        text.or_else(|| file.map(|file| Pem::File(self.base_dir.join(file))))
    }

    /// The text, or the file where there is one, or nothing.
    fn source(self, text: Option<&str>, file: Option<&str>) -> Source {
        match file.filter(|file| !file.is_empty()) {
            Some(file) => Source::File(self.base_dir.join(file)),
            None => Source::Inline(text.unwrap_or_default().to_owned()),
        }
    }

    fn values_of(self, header: &Header) -> Vec<Source> {
        let values = header.values.iter().map(|value| Source::Inline(value.clone()));
        let secrets = header.secrets.iter().map(|value| Source::Inline(value.expose().to_owned()));
        let files = header.files.iter().map(|file| Source::File(self.base_dir.join(file)));
        values.chain(secrets).chain(files).collect()
    }
}

fn header_name(name: &str) -> Result<HeaderName, Error> {
    HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| Error::config(format!("{name:?} is not a valid header name")))
}

fn connect_headers(proxy: &Proxy) -> Result<Vec<(HeaderName, HeaderValue)>, Error> {
    let mut headers = Vec::new();
    for (name, values) in &proxy.proxy_connect_header {
        for value in values {
            let value = sensitive(value.expose()).map_err(|e| Error::config(e.to_string()))?;
            headers.push((header_name(name)?, value));
        }
    }
    Ok(headers)
}

fn proxies(proxy: &Proxy) -> Result<Proxies, Error> {
    match &proxy.proxy_url {
        Some(url) => Proxies::fixed(url.expose(), proxy.no_proxy.as_deref().unwrap_or_default()),
        None if proxy.proxy_from_environment => Proxies::from_environment(),
        None => Ok(Proxies::default()),
    }
}
