//! Every byte that crosses a socket on the asking side: connections, TLS, authentication,
//! proxies, redirects, decompression.
//!
//! A [`Client`] is the ready form of one `http_config`: it is made once per job or receiver. A
//! [`Session`] belongs to one target or receiver and owns its kept-alive connection; its
//! [`Session::send`] does one exchange under one deadline and reads the body straight into a
//! buffer that the caller owns and reuses.
//!
//! HTTP/1.1 is spoken by [`conn`] itself, on `httparse`: a client that asks one question at a
//! time needs neither a connection task nor a body type, and a scrape of many small chunks costs
//! a fraction of what a general client spends on it.
//!
//! Sockets come from a [`Dial`]: TCP in the program, pipes in memory in tests.
#![forbid(unsafe_code)]

pub mod auth;
pub mod client;
mod conn;
mod decode;
pub mod dial;
pub mod error;
mod proxy;
pub mod session;
mod tls;

pub use client::Client;
pub use dial::{Dial, Stream};
pub use error::{Error, Failure};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
pub use session::{Head, Request, Session};
pub use url::Url;

/// What the program calls itself where the caller sets no `User-Agent`.
pub const USER_AGENT: &str = concat!("narthex/", env!("CARGO_PKG_VERSION"));
