//! The reference upstream: gives grants, takes events, cosigns checkpoints, serves signed documents.
//! Never answers with a receipt that is not on disk, and never drops an event that it does not understand.

#![forbid(unsafe_code)]

mod keys;
mod store;
mod documents;
mod registry;
mod ingest;
mod body;
mod card_authentication;
mod http;
mod server;

pub use card_authentication::toy_cipher;
pub use documents::PublishError;
pub use keys::KeyFileError;
pub use registry::{RegistryError, TerminalInfo};
pub use server::{Admin, Config, StartError, Upstream};
pub use store::{Alarm, Counts, StoreError, TerminalRow};
