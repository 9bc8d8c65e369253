//! The zhenyin agent: cameras, card readers, disk, keys and the network, joined to the core by one event loop.
//! Never decides anything itself: what is accepted, referred or recorded is decided in `zhenyin_core`.
//!
//! Adapters never import one another and never import `event_loop`.

pub mod config;
pub mod durable_file;
pub mod data_key;
pub mod latest;
pub mod clock;
pub mod camera;
pub mod face;
pub mod card_reader;
pub mod journal;
pub mod references;
pub mod keystore;
pub mod known_key;
mod tls;
pub mod upstream;
pub mod terminal_enrolment;
pub mod text;
pub mod telemetry;
pub mod local_api;
pub mod event_loop;
pub mod agent;
pub mod client;
pub mod export;
pub mod models_get;
pub mod models_cli;
pub mod card_cli;
pub mod cli;
