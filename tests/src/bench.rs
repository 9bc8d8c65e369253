//! Measurements that the bench program prints. Never tests: a figure is never asserted here.

pub mod backlog;
pub mod journal;
pub mod verification;
