//! Values that must not be shown.

use std::fmt;

use url::Url;

use crate::node::{Node, Yaml};
use crate::read::{Context, Value};
use crate::write::Out;

/// What stands for a secret wherever it would be shown.
pub const MASK: &str = "<secret>";

/// A secret: nothing prints or writes its content. Overwritten when dropped.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Makes one.
    pub fn new(content: impl Into<String>) -> Self {
        Self(content.into())
    }

    /// The content. The caller must not print, log or store it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(MASK)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        // Without unsafe code this is as much as can be done: the zeros are written into the
        // same allocation, and `black_box` keeps the writing from being left out.
        let mut bytes = std::mem::take(&mut self.0).into_bytes();
        bytes.fill(0);
        std::hint::black_box(&bytes);
    }
}

impl Value for Secret {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Yaml::Scalar { text, .. } = &node.value else {
            cx.expected(node, "a string");
            return None;
        };
        Some(Self(text.clone()))
    }

    fn write(&self) -> Out {
        Out::Plain(MASK.to_owned())
    }

    fn is_zero(&self) -> bool {
        self.is_empty()
    }
}

/// The URL of a server. Printed, it shows neither password nor query, where tokens live.
#[derive(Clone, PartialEq, Eq)]
pub struct ServerUrl {
    url: Url,
    /// `Url` puts a slash where a URL ends with the host; whether nobody wrote it.
    no_slash: bool,
}

impl ServerUrl {
    /// The whole URL. The caller must not print, log or store it.
    pub fn expose(&self) -> &Url {
        &self.url
    }

    fn masked(&self) -> String {
        let mut url = self.url.clone();
        if url.password().is_some() && url.set_password(Some("xxxxx")).is_err() {
            return MASK.to_owned();
        }
        if url.query().is_some() {
            url.set_query(Some("xxxxx"));
        }
        url.set_fragment(None);
        let text = url.to_string();
        match text.strip_suffix('/') {
            Some(bare) if self.no_slash => bare.to_owned(),
            _ => text,
        }
    }
}

impl From<Url> for ServerUrl {
    fn from(url: Url) -> Self {
        Self { url, no_slash: false }
    }
}

impl fmt::Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked())
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Value for ServerUrl {
    fn read(node: &Node, cx: &mut Context<'_>) -> Option<Self> {
        let Yaml::Scalar { text, .. } = &node.value else {
            cx.expected(node, "a URL");
            return None;
        };
        // The text is not shown: it may hold a password.
        match Url::parse(text) {
            Ok(url) if url.has_host() => {
                let no_slash = url.path() == "/" && url.query().is_none() && !text.ends_with('/');
                Some(Self { url, no_slash })
            }
            Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
                cx.report(node.place, "expected a URL with a host, such as http://host:9090/path");
                None
            }
            Err(error) => {
                cx.report(node.place, format!("expected a URL: {error}"));
                None
            }
        }
    }

    fn write(&self) -> Out {
        Out::Text(self.masked())
    }
}
