//! The local API: loopback HTTP for the command line, the screens and HIS. JSON in, server-sent events out.
//! Never answers another machine, a web page, or a program without the token; never decides anything.

mod guard;
mod problem;
mod routes;
mod token;

pub use token::{ApiToken, TokenError};

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc as tokio_mpsc, oneshot};
use zhenyin_core::api::{Answer, Refusal, Reply, Request, Status, Step};
use zhenyin_core::hold::HoldChange;
use zhenyin_core::ids::{Sequence, SessionId};
use zhenyin_core::inspection::{InspectionClosing, InspectionRequest, OpenInspection};

/// What the API asks of the event loop. Every question carries its own way back.
#[derive(Debug)]
pub enum Ask {
    Begin {
        request: Request,
        back: oneshot::Sender<Result<SessionId, Refusal>>,
    },
    Answer {
        session: SessionId,
        answer: Answer,
        back: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Everything of a session so far, then everything to come, the reply last.
    Follow {
        session: SessionId,
        back: oneshot::Sender<Option<tokio_mpsc::UnboundedReceiver<Progress>>>,
    },
    Inspect {
        request: InspectionRequest,
        back: oneshot::Sender<Result<OpenInspection, Refusal>>,
    },
    CloseInspection {
        opened: Sequence,
        closing: InspectionClosing,
        back: oneshot::Sender<Result<Sequence, Refusal>>,
    },
    /// Gives the hold's number.
    ChangeHold {
        change: HoldChange,
        back: oneshot::Sender<Result<i64, Refusal>>,
    },
    Status {
        back: oneshot::Sender<Status>,
    },
}

/// One thing that happened in a session.
#[derive(Clone, Debug)]
pub enum Progress {
    Step(Step),
    Done(Reply),
}

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("local api cannot listen on {address}: is another agent running?")]
    Bind { address: SocketAddr, source: std::io::Error },
    #[error("local api stopped")]
    Serve(#[source] std::io::Error),
}

/// Where questions go; false when nobody is left to answer them.
pub type Asks = Arc<dyn Fn(Ask) -> bool + Send + Sync>;

/// A bound, not yet serving API.
pub struct LocalApi {
    listener: tokio::net::TcpListener,
    address: SocketAddr,
    token: ApiToken,
}

impl LocalApi {
    /// # Errors
    /// [`ApiError::Bind`] when the address is taken.
    pub async fn bind(address: SocketAddr, token: ApiToken) -> Result<Self, ApiError> {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| ApiError::Bind { address, source })?;
        let address = listener.local_addr().map_err(|source| ApiError::Bind { address, source })?;
        Ok(Self { listener, address, token })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the future is dropped.
    ///
    /// # Errors
    /// [`ApiError::Serve`] when the listener breaks.
    pub async fn serve(self, asks: Asks) -> Result<(), ApiError> {
        let app = routes::router(asks, self.token, self.address);
        axum::serve(self.listener, app).await.map_err(ApiError::Serve)
    }
}
