//! The key server as a reader thread knows it: a function that carries one question there and its answer back.
//! Never knows a network; whoever starts the readers brings the function.

use std::sync::Arc;
use std::time::Duration;

use firmware_bridge::authenticator::{RemoteAnswer, RemoteAuthenticator, RemoteQuestion, RemoteRefusal};
use ring::rand::{SecureRandom as _, SystemRandom};

/// Asks once and waits no longer than it is told. May be called from any thread outside of an async runtime.
pub type KeyServer =
    Arc<dyn Fn(&RemoteQuestion, Duration) -> Result<RemoteAnswer, RemoteRefusal> + Send + Sync>;

/// # Errors
/// When the system has no thread to give.
pub(super) fn authenticator(server: &KeyServer, patience: Duration) -> std::io::Result<RemoteAuthenticator> {
    let server = Arc::clone(server);
    let system = SystemRandom::new();
    RemoteAuthenticator::start(
        move |question, patience| server(question, patience),
        move |bytes| system.fill(bytes).expect("a running system gives random bytes"),
        patience,
    )
}
