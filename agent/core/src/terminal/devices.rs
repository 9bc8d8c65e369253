//! Health of camera and reader: what fails is recorded once, what works again too.
//! Never gives a device up for good.

use std::time::Duration;

use super::Terminal;
use crate::event::lifecycle::{Device, DeviceDegraded, DeviceRecovered};
use crate::fault::Fault;
use crate::ids::ReaderId;
use crate::time::{Boottime, Now};

/// What is wrong with a device, if anything.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct DeviceHealth(Option<Trouble>);

#[derive(Clone, Copy, Debug)]
struct Trouble {
    fault: Fault,
    since: Boottime,
    /// When it was last found not to work.
    seen: Boottime,
}

impl DeviceHealth {
    pub(super) fn fault(&self) -> Option<Fault> {
        self.0.map(|trouble| trouble.fault)
    }

    /// Worth a try: nothing is known to be wrong, or it was found wrong a while ago and may have mended itself.
    /// The camera is off between acts, so only an act can find out.
    pub(super) fn may_work(&self, now: Now) -> bool {
        self.0.is_none_or(|t| t.fault.is_retryable() && now.boottime.saturating_since(t.seen) >= RETRY)
    }
}

impl Terminal {
    /// The state of a reader, or of the camera.
    pub(super) fn device(&mut self, reader: Option<ReaderId>, state: Result<(), Fault>, now: Now) {
        let (device, health) = match reader {
            Some(id) => (Device::CardReader, self.readers.entry(id).or_default()),
            None => (Device::Camera, &mut self.camera),
        };
        match (health.0, state) {
            (None, Err(fault)) => {
                health.0 = Some(Trouble { fault, since: now.boottime, seen: now.boottime });
                self.record(&DeviceDegraded { device, reader, fault: fault.code().to_owned() }, now);
            }
            // One fault may turn into another on the way; the record has the first.
            (Some(trouble), Err(fault)) => health.0 = Some(Trouble { fault, seen: now.boottime, ..trouble }),
            (Some(trouble), Ok(())) => {
                health.0 = None;
                let after_s = now.boottime.saturating_since(trouble.since).as_secs();
                self.record(&DeviceRecovered { device, reader, after_s }, now);
            }
            (None, Ok(())) => {}
        }
        if device == Device::Camera && state.is_err() {
            self.camera_gone(now);
        }
    }
}

/// A device that failed is tried again by the next act after this time.
const RETRY: Duration = Duration::from_secs(10);
