//! Keeps the camera going while it is wanted: opens it on a thread of its own, watches the age of the last
//! frame, abandons a thread that is stuck, and tries again with growing pauses. Never runs the camera when it
//! is not wanted (its light tells the truth), never delivers a frame of an abandoned thread, reads no clock.

use std::collections::BTreeSet;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use zhenyin_models::Frame;

use super::{CameraError, FrameSource};

/// What the consumer hears. Frames are handed over at once and never queued here.
#[derive(Debug)]
pub enum CameraReport {
    /// The camera streams; its light is on.
    Opened {
        description: String,
    },
    Frame(Frame),
    /// Tried again by itself.
    Fault(CameraError),
    /// No longer wanted, and off.
    Closed,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// A frame older than this means that the camera hangs. Opening must fit in, too.
    pub stalled_after: Duration,
    /// The first pause before opening again; it doubles from there until a frame comes.
    pub retry_first: Duration,
    pub retry_most: Duration,
    /// So many hanging threads are left behind before no new one is started.
    pub stuck_most: usize,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            stalled_after: Duration::from_secs(5),
            retry_first: Duration::from_millis(500),
            retry_most: Duration::from_secs(30),
            stuck_most: 3,
        }
    }
}

/// The handle on the camera. Dropping it closes the camera.
pub struct CameraThread {
    inbox: Sender<Message>,
    wanted: AtomicBool,
    supervisor: Option<JoinHandle<()>>,
}

impl CameraThread {
    /// Starts the supervisor; the camera stays off until wanted. `open` runs on the capture thread, once for
    /// each attempt. `report` must not block: it runs between two looks at the watchdog.
    pub fn start<O, R>(patience: Patience, open: O, report: R) -> io::Result<Self>
    where
        O: Fn() -> Result<Box<dyn FrameSource>, CameraError> + Send + Sync + 'static,
        R: FnMut(CameraReport) + Send + 'static,
    {
        let (inbox, messages) = channel();
        let supervisor = Supervisor {
            patience,
            open: Arc::new(open),
            report: Box::new(report),
            inbox: inbox.clone(),
            wanted: false,
            generation: 0,
            stuck: BTreeSet::new(),
            pause: patience.retry_first,
        };
        let thread = Builder::new().name("camera".to_owned()).spawn(move || supervisor.run(&messages))?;
        Ok(Self { inbox, wanted: AtomicBool::new(false), supervisor: Some(thread) })
    }

    /// Turns the camera on or off. Saying the same again changes nothing.
    pub fn set_wanted(&self, wanted: bool) {
        if self.wanted.swap(wanted, Ordering::Relaxed) != wanted {
            self.send(Message::Wanted(wanted));
        }
    }

    fn send(&self, message: Message) {
        // The supervisor is only ever gone after `Stop`.
        let _gone = self.inbox.send(message);
    }
}

impl Drop for CameraThread {
    fn drop(&mut self) {
        self.send(Message::Stop);
        if let Some(supervisor) = self.supervisor.take() {
            // A panic there is already reported by the panic hook.
            let _panicked = supervisor.join();
        }
    }
}

type Open = dyn Fn() -> Result<Box<dyn FrameSource>, CameraError> + Send + Sync;

enum Message {
    Wanted(bool),
    Stop,
    Beat { generation: u64, beat: Beat },
}

/// A sign of life of a capture thread; `Ended` is the last one and follows the closing of the camera.
enum Beat {
    Opened(String),
    Frame(Frame),
    Spoiled(CameraError),
    Ended(Option<CameraError>),
}

enum State {
    Off,
    On(Capture),
    /// Told to stop, not yet stopped.
    Closing(Capture),
    /// Broken; to be opened again after the pause.
    Pausing(Duration),
}

struct Capture {
    generation: u64,
    stop: Arc<AtomicBool>,
}

struct Supervisor {
    patience: Patience,
    open: Arc<Open>,
    report: Box<dyn FnMut(CameraReport) + Send>,
    inbox: Sender<Message>,
    wanted: bool,
    generation: u64,
    stuck: BTreeSet<u64>,
    pause: Duration,
}

impl Supervisor {
    fn run(mut self, messages: &Receiver<Message>) {
        let mut state = State::Off;
        loop {
            let waited = match &state {
                State::Off => messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                State::On(_) | State::Closing(_) => messages.recv_timeout(self.patience.stalled_after),
                State::Pausing(pause) => messages.recv_timeout(*pause),
            };
            state = match waited {
                Ok(Message::Wanted(wanted)) => self.want(wanted, state),
                Ok(Message::Beat { generation, beat }) => self.beat(generation, beat, state),
                Err(RecvTimeoutError::Timeout) => self.late(state),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => {
                    if let State::On(capture) = state {
                        capture.stop.store(true, Ordering::Release);
                    }
                    return;
                }
            };
        }
    }

    fn want(&mut self, wanted: bool, state: State) -> State {
        self.wanted = wanted;
        match state {
            State::Off if wanted => self.start(),
            State::On(capture) if !wanted => {
                capture.stop.store(true, Ordering::Release);
                State::Closing(capture)
            }
            State::Pausing(_) if !wanted => State::Off,
            State::Off | State::On(_) | State::Closing(_) | State::Pausing(_) => state,
        }
    }

    fn beat(&mut self, generation: u64, beat: Beat, state: State) -> State {
        match (state, beat) {
            (State::On(capture), beat) if capture.generation == generation => self.live_beat(capture, beat),
            (State::Closing(capture), Beat::Ended(_)) if capture.generation == generation => {
                (self.report)(CameraReport::Closed);
                self.resume()
            }
            (state, Beat::Ended(_)) => {
                self.stuck.remove(&generation);
                state
            }
            (state, Beat::Opened(_) | Beat::Frame(_) | Beat::Spoiled(_)) => state,
        }
    }

    fn live_beat(&mut self, capture: Capture, beat: Beat) -> State {
        match beat {
            Beat::Opened(description) => (self.report)(CameraReport::Opened { description }),
            Beat::Frame(frame) => {
                self.pause = self.patience.retry_first;
                (self.report)(CameraReport::Frame(frame));
            }
            Beat::Spoiled(error) => (self.report)(CameraReport::Fault(error)),
            Beat::Ended(None) => return self.resume(),
            Beat::Ended(Some(error)) => return self.fail(error),
        }
        State::On(capture)
    }

    /// The time of the state has run out.
    fn late(&mut self, state: State) -> State {
        match state {
            State::On(capture) | State::Closing(capture) => {
                capture.stop.store(true, Ordering::Release);
                self.stuck.insert(capture.generation);
                self.fail(CameraError::Stalled { after: self.patience.stalled_after })
            }
            State::Pausing(_) if self.stuck.len() >= self.patience.stuck_most => {
                State::Pausing(self.patience.retry_most)
            }
            State::Pausing(_) => self.start(),
            State::Off => State::Off,
        }
    }

    fn fail(&mut self, error: CameraError) -> State {
        (self.report)(CameraReport::Fault(error));
        if !self.wanted {
            return State::Off;
        }
        let pause = self.pause;
        self.pause = pause.saturating_mul(2).min(self.patience.retry_most);
        State::Pausing(pause)
    }

    fn resume(&mut self) -> State {
        if self.wanted { self.start() } else { State::Off }
    }

    fn start(&mut self) -> State {
        self.generation += 1;
        let capture = Capture { generation: self.generation, stop: Arc::new(AtomicBool::new(false)) };
        let (open, stop, inbox) = (Arc::clone(&self.open), Arc::clone(&capture.stop), self.inbox.clone());
        let generation = self.generation;
        let spawned = Builder::new().name(format!("capture-{generation}")).spawn(move || {
            // The supervisor may be gone; then nobody is left to hear it.
            let send = |beat| drop(inbox.send(Message::Beat { generation, beat }));
            // The camera is owned by the closure: after a panic nothing of it is looked at again.
            let ended = catch_unwind(AssertUnwindSafe(|| capture_frames(&*open, &stop, &send)));
            send(Beat::Ended(ended.unwrap_or(Err(CameraError::Panicked)).err()));
        });
        match spawned {
            Ok(_detached) => State::On(capture),
            Err(error) => self.fail(CameraError::Thread(error)),
        }
    }
}

/// So many unreadable frames on end mean that it is not the frame's fault.
const SPOILED_MOST: u32 = 30;

fn capture_frames(open: &Open, stop: &AtomicBool, send: &dyn Fn(Beat)) -> Result<(), CameraError> {
    let mut source = open()?;
    send(Beat::Opened(source.describe()));
    let mut spoiled = 0;
    while !stop.load(Ordering::Acquire) {
        match source.next_frame() {
            Ok(frame) => {
                spoiled = 0;
                send(Beat::Frame(frame));
            }
            Err(error) if error.is_one_frame_only() && spoiled < SPOILED_MOST => {
                spoiled += 1;
                if spoiled == 1 {
                    send(Beat::Spoiled(error));
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
