//! What has been told in each session, so that a screen that comes late misses nothing.
//! Never keeps more than the last few sessions.

use std::collections::BTreeMap;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zhenyin_core::ids::SessionId;

use crate::local_api::Progress;

/// Sessions that can still be followed.
const KEPT: usize = 32;
/// Steps of one session that a late screen can still read.
const STEPS: usize = 256;

#[derive(Debug, Default)]
pub(super) struct Sessions {
    sessions: BTreeMap<SessionId, Told>,
}

#[derive(Debug, Default)]
struct Told {
    progress: Vec<Progress>,
    /// Dropped when the session is done, which ends the followers' streams.
    followers: Vec<UnboundedSender<Progress>>,
}

impl Sessions {
    pub(super) fn begin(&mut self, session: SessionId) {
        self.sessions.insert(session, Told::default());
        while self.sessions.len() > KEPT {
            self.sessions.pop_first();
        }
    }

    pub(super) fn tell(&mut self, session: SessionId, progress: Progress) {
        let Some(told) = self.sessions.get_mut(&session) else { return };
        told.followers.retain(|follower| follower.send(progress.clone()).is_ok());
        if matches!(progress, Progress::Done(_)) {
            told.followers.clear();
        } else if told.progress.len() >= STEPS {
            told.progress.remove(0);
        }
        told.progress.push(progress);
    }

    /// Everything so far and everything to come; `None` for a session that is not known.
    pub(super) fn follow(&mut self, session: SessionId) -> Option<UnboundedReceiver<Progress>> {
        let told = self.sessions.get_mut(&session)?;
        let (sender, receiver) = unbounded_channel();
        for progress in &told.progress {
            let _open = sender.send(progress.clone());
        }
        if !matches!(told.progress.last(), Some(Progress::Done(_))) {
            told.followers.push(sender);
        }
        Some(receiver)
    }
}
