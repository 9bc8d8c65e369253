//! The reference upstream: gives grants, takes events, cosigns checkpoints, serves signed documents.
//! Never answers with a receipt that is not on disk, and never drops an event that it does not understand.

#![forbid(unsafe_code)]

pub mod cluster;

mod keys;
mod documents;
mod life;
mod store;
mod registry;
mod ingest;
mod audit;
mod limits;
mod body;
mod card_authentication;
mod http;
mod server;

pub use audit::{AuditError, Audited};
pub use card_authentication::toy_cipher;
pub use documents::PublishError;
pub use keys::KeyFileError;
pub use limits::{Limits, Rate};
pub use registry::{RegistryError, TerminalInfo};
pub use server::{Admin, Config, StartError, StoreChoice, Upstream};
pub use store::{Alarm, Counts, Gap, StoreError, TerminalRow};
