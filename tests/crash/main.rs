//! Crash tests of the journal: what an acknowledged event survives (rows R1 and R6 of the evidence demands).
//! Never passes on luck: each row has a control run that must fail.

mod disk_full;
mod kill;
