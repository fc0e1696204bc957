//! `/api/v1/notifications`: what the user should know, once or as it comes.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::body::Frame;
use tokio::sync::broadcast::error::RecvError;

use super::Routes;
use super::json::{self, Object};
use super::reply::Reply;
use crate::app::App;
use crate::clock::rfc3339;
use crate::notifications::{Listener, Notification, STOPPING};

pub(super) fn routes() -> Routes {
    Routes::new().route("/notifications", get(list)).route("/notifications/live", get(live))
}

async fn list(State(app): State<Arc<App>>) -> Reply {
    let current = app.notifications.current();
    Reply::new(|out| json::list(out, &current, put))
}

fn put(out: &mut Vec<u8>, notification: &Notification) {
    let mut object = Object::begin(out);
    object
        .text("text", notification.text)
        .text("date", &rfc3339(notification.date))
        .plain("active", notification.active);
    object.end();
}

async fn live(State(app): State<Arc<App>>) -> Response {
    let head = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-cache")];
    let Some(mut listener) = app.notifications.listen() else {
        return (StatusCode::NO_CONTENT, head).into_response();
    };
    let waiting = std::mem::take(&mut listener.current).into();
    (head, Body::new(Events { waiting, next: Box::pin(next(listener)), done: false }))
        .into_response()
}

/// Waits for the next event; `None` when the server ends.
async fn next(mut listener: Listener) -> Option<(Notification, Listener)> {
    loop {
        match listener.news.recv().await {
            Ok(notification) => return Some((notification, listener)),
            // A listener that was too slow has missed something; it goes on with what is left.
            Err(RecvError::Lagged(_)) => {}
            Err(RecvError::Closed) => return None,
        }
    }
}

type Next = Pin<Box<dyn Future<Output = Option<(Notification, Listener)>> + Send>>;

/// Server-sent events.
struct Events {
    waiting: VecDeque<Notification>,
    next: Next,
    done: bool,
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let notification = if let Some(notification) = self.waiting.pop_front() {
            notification
        } else {
            if self.done {
                return Poll::Ready(None);
            }
            let Some((notification, listener)) = ready!(self.next.as_mut().poll(context)) else {
                return Poll::Ready(None);
            };
            // The end of the server is the last that it tells, so that nobody holds it up.
            self.done = notification.text == STOPPING;
            self.next = Box::pin(next(listener));
            notification
        };
        let mut event = b"data: ".to_vec();
        put(&mut event, &notification);
        event.extend_from_slice(b"\n\n");
        Poll::Ready(Some(Ok(Frame::data(event.into()))))
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use narthex_model::Timestamp;

    use super::*;
    use crate::notifications::{Notifications, STARTING};

    #[tokio::test]
    async fn events_come_as_they_happen() {
        let notifications = Notifications::new(1);
        notifications.raise(STARTING, Timestamp(1_795_254_389_849));
        let mut listener = notifications.listen().unwrap();
        let waiting = std::mem::take(&mut listener.current).into();
        let mut body = Body::new(Events { waiting, next: Box::pin(next(listener)), done: false });
        notifications.clear(STARTING);
        for active in [true, false] {
            let event = body.frame().await.unwrap().unwrap().into_data().unwrap();
            let want = format!(
                "data: {{\"text\":\"{STARTING}\",\"date\":\"2026-11-21T09:46:29.849Z\",\
                 \"active\":{active}}}\n\n"
            );
            assert_eq!(event, want);
        }
        drop(notifications);
        assert!(body.frame().await.is_none());
    }
}
