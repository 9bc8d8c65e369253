//! The command line's side of the local API: begins a session, follows its events, sends answers.
//! Never talks to anything but the agent of this workstation.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use zhenyin_core::api::{Answer, Reply, Request, Status, Step};
use zhenyin_core::hold::HoldRequest;
use zhenyin_core::ids::{Sequence, SessionId};
use zhenyin_core::inspection::{InspectionClosing, InspectionRequest, OpenInspection};

use crate::local_api::{ApiToken, TokenError};

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("the agent does not answer at {address}: start it with `zhenyin run`")]
    NoAgent { address: SocketAddr, source: reqwest::Error },
    #[error("{detail}")]
    Refused { title: String, detail: String },
    #[error("the agent's answer is not of the local API: {what}")]
    Nonsense { what: String },
}

/// A connection to the running agent.
pub struct Client {
    http: reqwest::Client,
    address: SocketAddr,
    token: ApiToken,
}

/// One thing that happened in a followed session.
#[derive(Debug)]
pub enum Event {
    Step(Step),
    Done(Reply),
}

/// A followed session. Read [`Self::next`] until it gives [`Event::Done`].
pub struct Session {
    pub id: SessionId,
    response: reqwest::Response,
    buffer: Vec<u8>,
}

#[derive(Deserialize)]
struct Begun {
    session: SessionId,
}

#[derive(Deserialize)]
struct Held {
    hold: i64,
}

#[derive(Deserialize)]
struct Closed {
    closed: Sequence,
}

#[derive(Deserialize)]
struct Problem {
    title: String,
    detail: String,
}

impl Client {
    /// # Errors
    /// [`ClientError::Token`] when no agent has run with this state directory.
    pub fn new(address: SocketAddr, state: &Path) -> Result<Self, ClientError> {
        crate::tls::install_crypto_provider();
        let token = ApiToken::read(state)?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .connect_timeout(Duration::from_secs(2))
            .build()
            .map_err(|source| ClientError::NoAgent { address, source })?;
        Ok(Self { http, address, token })
    }

    /// # Errors
    /// [`ClientError::Refused`] with the agent's own sentence.
    pub async fn begin(&self, request: &Request) -> Result<Session, ClientError> {
        let begun: Begun =
            json(self.send(self.http.post(self.url("/v1/sessions")).json(request)).await?).await?;
        let path = format!("/v1/sessions/{}/events", begun.session.0);
        let response = self.send(self.http.get(self.url(&path))).await?;
        Ok(Session { id: begun.session, response, buffer: Vec::new() })
    }

    /// # Errors
    /// [`ClientError::Refused`] when this answer is not asked for now.
    pub async fn answer(&self, session: SessionId, answer: &Answer) -> Result<(), ClientError> {
        let path = format!("/v1/sessions/{}/answers", session.0);
        self.send(self.http.post(self.url(&path)).json(answer)).await.map(drop)
    }

    /// # Errors
    /// [`ClientError::NoAgent`] when none is running.
    pub async fn status(&self) -> Result<Status, ClientError> {
        json(self.send(self.http.get(self.url("/v1/status"))).await?).await
    }

    /// Puts an inspection on record before anything is written; gives the checkpoint that the package goes up to.
    ///
    /// # Errors
    /// [`ClientError::Refused`] with the agent's own sentence, [`ClientError::NoAgent`] when none is running.
    pub async fn inspect(&self, request: &InspectionRequest) -> Result<OpenInspection, ClientError> {
        json(self.send(self.http.post(self.url("/v1/inspections")).json(request)).await?).await
    }

    /// Records how an inspection ended; gives the event.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub async fn close_inspection(
        &self,
        opened: Sequence,
        closing: &InspectionClosing,
    ) -> Result<Sequence, ClientError> {
        let path = format!("/v1/inspections/{opened}/closing");
        let closed: Closed = json(self.send(self.http.post(self.url(&path)).json(closing)).await?).await?;
        Ok(closed.closed)
    }

    /// Keeps events from being erased; gives the hold's number.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    pub async fn place_hold(&self, request: &HoldRequest) -> Result<i64, ClientError> {
        let placed: Held =
            json(self.send(self.http.post(self.url("/v1/holds")).json(request)).await?).await?;
        Ok(placed.hold)
    }

    /// # Errors
    /// As [`Self::inspect`].
    pub async fn lift_hold(&self, hold: i64) -> Result<(), ClientError> {
        let path = format!("/v1/holds/{hold}/lifting");
        json::<Held>(self.send(self.http.post(self.url(&path))).await?).await.map(drop)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<reqwest::Response, ClientError> {
        let sent = request.bearer_auth(self.token.expose()).send().await;
        let response = sent.map_err(|source| ClientError::NoAgent { address: self.address, source })?;
        if response.status().is_success() {
            return Ok(response);
        }
        let problem: Problem = json(response).await?;
        Err(ClientError::Refused { title: problem.title, detail: problem.detail })
    }
}

async fn json<T: DeserializeOwned>(response: reqwest::Response) -> Result<T, ClientError> {
    response.json().await.map_err(|error| ClientError::Nonsense { what: error.to_string() })
}

impl Session {
    /// The next thing that happens; `None` when the agent stopped before the end.
    ///
    /// # Errors
    /// [`ClientError::Nonsense`] when the stream breaks or is not of this API.
    pub async fn next(&mut self) -> Result<Option<Event>, ClientError> {
        loop {
            if let Some(end) = self.buffer.windows(2).position(|pair| pair == b"\n\n") {
                let block: Vec<u8> = self.buffer.drain(..end + 2).collect();
                match parse(&String::from_utf8_lossy(&block))? {
                    Some(event) => return Ok(Some(event)),
                    None => continue,
                }
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| ClientError::Nonsense { what: error.to_string() })? {
                Some(bytes) => self.buffer.extend_from_slice(&bytes),
                None => return Ok(None),
            }
        }
    }
}

/// One server-sent event; `None` for comments and events of other names.
fn parse(block: &str) -> Result<Option<Event>, ClientError> {
    let field = |name: &str| block.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
    let bad = |error: serde_json::Error| ClientError::Nonsense { what: error.to_string() };
    match (field("event:"), field("data:")) {
        (Some("state"), Some(data)) => Ok(Some(Event::Step(serde_json::from_str(data).map_err(bad)?))),
        (Some("done"), Some(data)) => Ok(Some(Event::Done(serde_json::from_str(data).map_err(bad)?))),
        _ => Ok(None),
    }
}
