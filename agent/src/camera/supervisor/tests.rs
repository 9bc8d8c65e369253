//! The supervisor against a camera that does what the test says: stalls, fails, panics. No real time counts
//! here except the patience given to the watchdog, which is short where it must run out and long elsewhere.

use std::sync::Mutex;
use std::sync::mpsc;

use super::*;

/// What the camera does at its next turn. Turns wait for the test; the end of the script is a lasting stall.
enum Turn {
    OpenFails,
    Open,
    Frame(u8),
    Spoiled,
    Lost,
    Panic,
    /// Hangs until the test lets go, then gives a white frame.
    Hang(Receiver<()>),
}

struct Scripted {
    turns: Arc<Mutex<Receiver<Turn>>>,
    closed: Sender<()>,
}

impl FrameSource for Scripted {
    fn next_frame(&mut self) -> Result<Frame, CameraError> {
        match next_turn(&self.turns) {
            Some(Turn::Frame(level)) => Ok(grey(level)),
            Some(Turn::Spoiled) => Err(CameraError::Unreadable(Frame::decode(b"").unwrap_err())),
            Some(Turn::Lost) => Err(CameraError::Lost("unplugged".into())),
            Some(Turn::Panic) => panic!("the scripted camera panics"),
            Some(Turn::Hang(release)) => {
                let _released = release.recv();
                Ok(grey(255))
            }
            Some(Turn::Open | Turn::OpenFails) => panic!("the camera is open already"),
            None => Err(CameraError::Lost("the script has ended".into())),
        }
    }

    fn describe(&self) -> String {
        "scripted camera".to_owned()
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        let _nobody_looks = self.closed.send(());
    }
}

fn next_turn(turns: &Mutex<Receiver<Turn>>) -> Option<Turn> {
    turns.lock().unwrap().recv().ok()
}

struct Rig {
    thread: CameraThread,
    script: Sender<Turn>,
    reports: Receiver<CameraReport>,
    closed: Receiver<()>,
}

const GENEROUS: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(40);

fn rig(patience: Patience) -> Rig {
    let (script, turns) = channel();
    let (report, reports) = channel();
    let (close, closed) = channel();
    let turns = Arc::new(Mutex::new(turns));
    let open = move || -> Result<Box<dyn FrameSource>, CameraError> {
        loop {
            match next_turn(&turns) {
                Some(Turn::Open) => {
                    return Ok(Box::new(Scripted { turns: Arc::clone(&turns), closed: close.clone() }));
                }
                Some(Turn::OpenFails) | None => {
                    return Err(CameraError::Absent { selector: "auto".to_owned() });
                }
                // Left over from the camera before.
                Some(_) => {}
            }
        }
    };
    let thread = CameraThread::start(patience, open, move |r| drop(report.send(r))).unwrap();
    Rig { thread, script, reports, closed }
}

impl Rig {
    fn play<const N: usize>(&self, turns: [Turn; N]) {
        for turn in turns {
            self.script.send(turn).unwrap();
        }
    }

    /// The next report in one word.
    fn next(&self) -> String {
        match self.reports.recv_timeout(GENEROUS).expect("a report in time") {
            CameraReport::Opened { description } => format!("opened {description}"),
            CameraReport::Frame(frame) => format!("frame {}", frame.rgb()[0]),
            CameraReport::Fault(error) => error.fault().code().to_owned(),
            CameraReport::Closed => "closed".to_owned(),
        }
    }

    fn expect<const N: usize>(&self, words: [&str; N]) {
        for word in words {
            assert_eq!(self.next(), word);
        }
    }
}

fn patient() -> Patience {
    Patience { stalled_after: GENEROUS, retry_first: SHORT, retry_most: SHORT, stuck_most: 3 }
}

fn grey(level: u8) -> Frame {
    Frame::new(32, 32, vec![level; 32 * 32 * 3]).unwrap()
}

#[test]
fn runs_only_while_wanted() {
    let rig = rig(patient());
    rig.play([Turn::Open, Turn::Frame(1), Turn::Frame(2)]);
    assert_eq!(rig.reports.recv_timeout(SHORT).map(|_| ()), Err(mpsc::RecvTimeoutError::Timeout));
    rig.thread.set_wanted(true);
    rig.expect(["opened scripted camera", "frame 1", "frame 2"]);
    rig.thread.set_wanted(false);
    // Frames that come before the word has reached the capture thread are still taken.
    while rig.closed.recv_timeout(SHORT).is_err() {
        rig.play([Turn::Frame(3)]);
    }
    while rig.next() != "closed" {}
    assert!(rig.reports.try_recv().is_err(), "nothing comes after `closed`");
    rig.play([Turn::Open, Turn::Frame(4)]);
    rig.thread.set_wanted(true);
    rig.expect(["opened scripted camera", "frame 4"]);
}

#[test]
fn opens_again_after_every_failure() {
    let rig = rig(patient());
    rig.thread.set_wanted(true);
    rig.play([Turn::OpenFails, Turn::Open, Turn::Frame(1), Turn::Lost]);
    rig.expect(["camera.open.absent", "opened scripted camera", "frame 1", "camera.frame.lost"]);
    rig.play([Turn::Open, Turn::Panic, Turn::Open, Turn::Frame(2)]);
    rig.expect(["opened scripted camera", "worker.thread.panicked", "opened scripted camera", "frame 2"]);
}

#[test]
fn one_spoiled_frame_does_not_close_the_camera_but_many_do() {
    let rig = rig(patient());
    rig.thread.set_wanted(true);
    rig.play([Turn::Open, Turn::Spoiled, Turn::Spoiled, Turn::Frame(1)]);
    rig.expect(["opened scripted camera", "camera.frame.unreadable", "frame 1"]);
    for _ in 0..=SPOILED_MOST {
        rig.play([Turn::Spoiled]);
    }
    rig.expect(["camera.frame.unreadable", "camera.frame.unreadable"]);
    rig.closed.recv_timeout(GENEROUS).expect("the camera is closed");
}

#[test]
fn a_stalled_camera_is_abandoned_and_its_late_frame_never_delivered() {
    let rig = rig(Patience { stalled_after: Duration::from_secs(1), ..patient() });
    let (release, hang) = channel();
    rig.play([Turn::Open, Turn::Hang(hang), Turn::Open, Turn::Frame(9)]);
    rig.thread.set_wanted(true);
    rig.expect(["opened scripted camera", "camera.frame.stalled", "opened scripted camera", "frame 9"]);
    // The abandoned thread wakes up, gives its frame to nobody and closes.
    drop(release);
    rig.closed.recv_timeout(GENEROUS).expect("the abandoned camera is closed");
    // Joins the supervisor, which by then has seen all that the abandoned thread sent.
    drop(rig.thread);
    let rest: Vec<CameraReport> = rig.reports.try_iter().collect();
    assert!(!rest.iter().any(|r| matches!(r, CameraReport::Frame(_))), "{rest:?}");
}

#[test]
fn only_so_many_hanging_threads_are_left_behind() {
    let rig = rig(Patience { stalled_after: SHORT, stuck_most: 2, ..patient() });
    rig.thread.set_wanted(true);
    // Every attempt waits in `open` for a turn that does not come.
    rig.expect(["camera.frame.stalled", "camera.frame.stalled"]);
    assert_eq!(rig.reports.recv_timeout(SHORT * 8).map(|_| ()), Err(mpsc::RecvTimeoutError::Timeout));
    // One of them ends, so there is room for another attempt.
    rig.play([Turn::OpenFails]);
    rig.expect(["camera.frame.stalled"]);
}

#[test]
fn dropping_the_handle_closes_the_camera() {
    let rig = rig(patient());
    rig.play([Turn::Open, Turn::Frame(1)]);
    rig.thread.set_wanted(true);
    rig.expect(["opened scripted camera", "frame 1"]);
    drop(rig.thread);
    rig.script.send(Turn::Frame(2)).unwrap();
    rig.closed.recv_timeout(GENEROUS).expect("the camera is closed");
}
