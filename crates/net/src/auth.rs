//! How a client says who it is.

use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderName, HeaderValue, Method};
use tokio::time::Instant;
use url::Url;

use crate::error::{Error, Failure, go_text};
use crate::{Client, Request};

/// Largest secret in a file, in bytes.
const SECRET_BYTES_MAX: u64 = 1 << 20;

/// Largest answer of a token endpoint, in bytes.
const TOKEN_BYTES_MAX: usize = 1 << 20;

/// How long before its end a token is no longer used.
const TOKEN_MARGIN: Duration = Duration::from_secs(10);

/// A secret from the configuration, or in a file that is read again at each use.
#[derive(Clone)]
pub(crate) enum Source {
    Inline(String),
    File(PathBuf),
}

/// The `Authorization` of a client.
#[derive(Default)]
pub(crate) enum Auth {
    #[default]
    None,
    /// The same at every request.
    Fixed(HeaderValue),
    Basic {
        username: Source,
        password: Source,
    },
    Scheme {
        scheme: String,
        credentials: Source,
    },
    OAuth2(Box<OAuth2>),
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Auth(<secret>)")
    }
}

impl Source {
    pub(crate) fn read(&self, what: &str) -> Result<String, Failure> {
        match self {
            Self::Inline(text) => Ok(text.clone()),
            Self::File(path) => {
                let failed = |e: std::io::Error| {
                    let (path, text) = (path.display(), go_text(&e));
                    Failure::Credentials(format!("unable to read {what} file {path}: {text}"))
                };
                if std::fs::metadata(path).map_err(failed)?.len() > SECRET_BYTES_MAX {
                    return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
                }
                Ok(std::fs::read_to_string(path).map_err(failed)?.trim().to_owned())
            }
        }
    }
}

impl Auth {
    /// Basic authentication.
    pub(crate) fn basic(username: Source, password: Source) -> Result<Self, Error> {
        match (&username, &password) {
            (Source::Inline(username), Source::Inline(password)) => Ok(Self::Fixed(
                sensitive(&basic(username, password))
                    .map_err(|failure| Error::config(failure.to_string()))?,
            )),
            _ => Ok(Self::Basic { username, password }),
        }
    }

    /// `scheme` and `credentials`, as `authorization` has them.
    pub(crate) fn scheme(scheme: &str, credentials: Source) -> Result<Self, Error> {
        match &credentials {
            Source::Inline(text) => {
                let value = sensitive(&format!("{scheme} {text}"))
                    .map_err(|failure| Error::config(failure.to_string()))?;
                Ok(Self::Fixed(value))
            }
            Source::File(_) => Ok(Self::Scheme { scheme: scheme.to_owned(), credentials }),
        }
    }

    /// The header's value for a request that is about to be sent.
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, Failure> {
        match self {
            Self::None => Ok(None),
            Self::Fixed(value) => Ok(Some(value.clone())),
            Self::Basic { username, password } => {
                let (username, password) = (username.read("username")?, password.read("password")?);
                sensitive(&basic(&username, &password)).map(Some)
            }
            Self::Scheme { scheme, credentials } => {
                let credentials = credentials.read("authorization credentials")?;
                sensitive(&format!("{scheme} {credentials}")).map(Some)
            }
            Self::OAuth2(oauth2) => oauth2.header().await.map(Some),
        }
    }
}

fn basic(username: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{username}:{password}")))
}

/// The value of basic authentication that an address carries as `user:password@`.
pub(crate) fn userinfo(url: &Url) -> Option<String> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let decode = |text: &str| {
        let form = format!("k={}", text.replace('+', "%2B"));
        url::form_urlencoded::parse(form.as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    Some(basic(&decode(url.username()), &decode(url.password().unwrap_or_default())))
}

pub(crate) fn sensitive(text: &str) -> Result<HeaderValue, Failure> {
    let mut value = HeaderValue::from_str(text).map_err(|_| {
        Failure::Credentials("net/http: invalid header field value for a secret".to_owned())
    })?;
    value.set_sensitive(true);
    Ok(value)
}

/// Client credentials that are exchanged for a bearer token.
pub(crate) struct OAuth2 {
    pub(crate) client: Client,
    pub(crate) token_url: Url,
    pub(crate) client_id: String,
    pub(crate) client_secret: Source,
    pub(crate) scopes: Vec<String>,
    pub(crate) params: Vec<(String, String)>,
    pub(crate) token: tokio::sync::Mutex<Option<Token>>,
}

/// A token in use.
pub(crate) struct Token {
    value: HeaderValue,
    /// The secret it was asked with: a changed file asks anew.
    secret: String,
    until: Option<Instant>,
}

/// How long the token endpoint may take: the caller's own deadline is usually shorter.
const TOKEN_TIMEOUT: Duration = Duration::from_secs(30);

type Asking<'a> = Pin<Box<dyn Future<Output = Answered> + Send + 'a>>;

/// A token and how long it lives.
type Answered = Result<(HeaderValue, Option<Duration>), Failure>;

impl OAuth2 {
    async fn header(&self) -> Result<HeaderValue, Failure> {
        let secret = self.client_secret.read("oauth2 client secret")?;
        let mut token = self.token.lock().await;
        if let Some(token) = &*token
            && token.secret == secret
            && token.until.is_none_or(|until| Instant::now() < until)
        {
            return Ok(token.value.clone());
        }
        let (value, lifetime) = self.ask(&secret).await?;
        let until = lifetime.map(|life| Instant::now() + life.saturating_sub(TOKEN_MARGIN));
        *token = Some(Token { value: value.clone(), secret, until });
        Ok(value)
    }

    fn form(&self) -> String {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "client_credentials");
        if !self.scopes.is_empty() {
            form.append_pair("scope", &self.scopes.join(" "));
        }
        form.extend_pairs(&self.params);
        form.finish()
    }

    // Asking is sending, which asks for credentials in its turn: the cycle needs a box.
    fn ask<'a>(&'a self, secret: &'a str) -> Asking<'a> {
        Box::pin(self.ask_unboxed(secret))
    }

    async fn ask_unboxed(&self, secret: &str) -> Answered {
        let form = self.form();
        let escape = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
        };
        let headers: [(HeaderName, HeaderValue); 2] = [
            (
                http::header::CONTENT_TYPE,
                HeaderValue::from_static("application/x-www-form-urlencoded"),
            ),
            (
                http::header::AUTHORIZATION,
                sensitive(&basic(&escape(&self.client_id), &escape(secret)))?,
            ),
        ];
        let request = Request {
            method: Method::POST,
            headers: &headers,
            body: form.as_bytes(),
            timeout: TOKEN_TIMEOUT,
            body_bytes_max: TOKEN_BYTES_MAX,
        };
        let failed =
            |text: String| Failure::Credentials(format!("oauth2: cannot fetch token: {text}"));
        let mut body = Vec::new();
        let mut session = self.client.session(&self.token_url);
        let head =
            session.send(&request, &mut body).await.map_err(|error| failed(error.to_string()))?;
        if !head.status.is_success() {
            return Err(failed(head.status.to_string()));
        }
        let answer: TokenAnswer = serde_json::from_slice(&body)
            .map_err(|_| failed("the answer is not a token".to_owned()))?;
        let value = sensitive(&format!("Bearer {}", answer.access_token))?;
        let lifetime = answer.expires_in.filter(|&s| s > 0.0 && s < 1e9);
        Ok((value, lifetime.map(Duration::from_secs_f64)))
    }
}

#[derive(serde::Deserialize)]
struct TokenAnswer {
    access_token: String,
    #[serde(default)]
    expires_in: Option<f64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_userinfo() {
        let url = Url::parse("http://us%40er:p+%3Aw@h/").unwrap();
        assert_eq!(userinfo(&url).unwrap(), basic("us@er", "p+:w"));
        assert_eq!(userinfo(&Url::parse("http://h/").unwrap()), None);
    }
}
