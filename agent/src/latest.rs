//! A mailbox of one: a new value takes the place of an unread one. Between the camera and the face thread,
//! where only the newest frame counts. Never queues, never makes the sender wait for the receiver.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Makes both ends of an empty mailbox.
pub fn latest<T>() -> (LatestSender<T>, LatestReceiver<T>) {
    let shared =
        Arc::new(Shared { slot: Mutex::new(Slot { value: None, closed: false }), filled: Condvar::new() });
    (LatestSender { shared: Arc::clone(&shared) }, LatestReceiver { shared })
}

pub struct LatestSender<T> {
    shared: Arc<Shared<T>>,
}

impl<T> LatestSender<T> {
    /// Puts the value in, dropping an unread one. Says whether one was dropped.
    pub fn replace(&self, value: T) -> bool {
        let unread = self.shared.lock().value.replace(value);
        self.shared.filled.notify_one();
        unread.is_some()
    }

    /// Drops an unread value: what was seen for one person must not be left for the next.
    pub fn clear(&self) {
        drop(self.shared.lock().value.take());
    }
}

impl<T> Drop for LatestSender<T> {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.filled.notify_all();
    }
}

pub struct LatestReceiver<T> {
    shared: Arc<Shared<T>>,
}

/// Why no value came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoValue {
    /// Nothing within the time allowed.
    Timeout,
    /// The sender is gone and nothing is left.
    Closed,
}

impl<T> LatestReceiver<T> {
    /// Takes the newest value, waiting at most `patience` for one.
    pub fn take(&self, patience: Duration) -> Result<T, NoValue> {
        let guard = self.shared.lock();
        let (mut slot, _) = self
            .shared
            .filled
            .wait_timeout_while(guard, patience, |slot| slot.value.is_none() && !slot.closed)
            .unwrap_or_else(PoisonError::into_inner);
        match slot.value.take() {
            Some(value) => Ok(value),
            None if slot.closed => Err(NoValue::Closed),
            None => Err(NoValue::Timeout),
        }
    }
}

struct Shared<T> {
    slot: Mutex<Slot<T>>,
    filled: Condvar,
}

struct Slot<T> {
    value: Option<T>,
    closed: bool,
}

impl<T> Shared<T> {
    /// Held only to move a value in or out; a panic in between leaves a whole slot behind.
    fn lock(&self) -> MutexGuard<'_, Slot<T>> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::ZERO;
    const GENEROUS: Duration = Duration::from_secs(20);

    #[test]
    fn the_newest_value_wins_and_is_taken_once() {
        let (sender, receiver) = latest();
        assert!(!sender.replace(1));
        assert!(sender.replace(2));
        assert_eq!(receiver.take(NOW), Ok(2));
        assert_eq!(receiver.take(NOW), Err(NoValue::Timeout));
    }

    #[test]
    fn a_cleared_value_is_gone() {
        let (sender, receiver) = latest();
        sender.replace("the person before");
        sender.clear();
        assert_eq!(receiver.take(NOW), Err(NoValue::Timeout));
    }

    #[test]
    fn the_last_value_outlives_its_sender() {
        let (sender, receiver) = latest();
        sender.replace(7);
        drop(sender);
        assert_eq!(receiver.take(GENEROUS), Ok(7));
        assert_eq!(receiver.take(GENEROUS), Err(NoValue::Closed));
    }

    #[test]
    fn a_waiting_receiver_is_woken() {
        let (sender, receiver) = latest();
        let waiting = std::thread::spawn(move || receiver.take(GENEROUS));
        sender.replace(3);
        assert_eq!(waiting.join().unwrap(), Ok(3));
    }
}
