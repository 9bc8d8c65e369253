//! Crash tests of the journal: what an acknowledged event survives (rows R1 to R7, R12
//! and a part of S4 of the evidence demands).
//! Never passes on luck: each row has a control run that must fail.

#[cfg(test)]
mod bit_flips;
#[cfg(test)]
mod clock;
#[cfg(test)]
mod disk_full;
#[cfg(test)]
mod erased;
#[cfg(test)]
mod fault_sweep;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod kill_at_every_call;
#[cfg(test)]
mod loop_image;
#[cfg(test)]
mod lost_files;
#[cfg(test)]
mod model;
#[cfg(test)]
mod power_cut;
#[cfg(test)]
mod power_cut_on_loop;
#[cfg(test)]
mod run;
#[cfg(test)]
mod small_files;
