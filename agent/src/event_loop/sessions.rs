//! What has been told in each session, so that a screen that comes late misses nothing.
//! Never keeps more than the last few sessions, and never a code that was scanned.

use std::collections::BTreeMap;

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use zhenyin_core::api::Step;
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
        if matches!(progress, Progress::Step(Step::CodeTaken { .. })) {
            return;
        }
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

#[cfg(test)]
mod tests {
    use zhenyin_core::presented::ScannedCode;

    use super::*;

    #[test]
    fn a_code_is_told_to_who_listens_and_to_nobody_later() {
        let mut sessions = Sessions::default();
        let session = SessionId(1);
        sessions.begin(session);
        let mut present = sessions.follow(session).unwrap();
        sessions.tell(session, Progress::Step(Step::PresentCard));
        let code = ScannedCode::new("2800011101");
        sessions.tell(session, Progress::Step(Step::CodeTaken { code: code.clone() }));
        let mut late = sessions.follow(session).unwrap();
        let steps = |follower: &mut UnboundedReceiver<Progress>| -> Vec<Step> {
            std::iter::from_fn(|| follower.try_recv().ok())
                .filter_map(|told| if let Progress::Step(step) = told { Some(step) } else { None })
                .collect()
        };
        assert_eq!(steps(&mut present), [Step::PresentCard, Step::CodeTaken { code }]);
        assert_eq!(steps(&mut late), [Step::PresentCard]);
    }
}
