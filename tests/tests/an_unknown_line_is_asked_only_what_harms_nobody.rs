//! Probing: each protocol is found at its speed, nothing executes another's question, and a line where nothing
//! answers is named within eight seconds.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_bridge::probe::{ATTEMPTS, ProbeError, Protocol, probe};
use firmware_bridge::{CardPort, LineSettings, PortError};
use zhenyin_tests::card_reader::memory::VirtualClock;
use zhenyin_tests::card_reader::{
    CardSpec, Device, Echo, Fault, MemoryPort, Peer, ResidentCard, ResidentDevice, ScannerDevice, SlotDevice,
    When, Wire,
};

/// Probes a line to `device` that runs at `baud`, and says how long that took.
fn probed<D: Peer + 'static>(
    device: &Arc<Mutex<D>>,
    baud: u32,
) -> (Result<(Protocol, LineSettings), ProbeError>, Duration) {
    let clock = VirtualClock::new();
    let result = probe(|settings| {
        let port = MemoryPort::shared(Arc::clone(device), clock.clone());
        let port = if settings.baud == baud { port } else { port.garbled() };
        Ok(Box::new(port) as Box<dyn CardPort>)
    });
    (result.map(|attempt| (attempt.protocol, attempt.settings)), clock.elapsed())
}

fn shared<D>(device: D) -> Arc<Mutex<D>> {
    Arc::new(Mutex::new(device))
}

fn acs() -> SlotDevice {
    let mut device = SlotDevice::new(Wire::Acs);
    device.insert(CardSpec::version_2());
    device
}

fn resident() -> ResidentDevice {
    let mut device = ResidentDevice::new();
    device.lay(ResidentCard::one_person());
    device
}

#[test]
fn each_protocol_is_found() {
    for echo in [Echo::On, Echo::Off] {
        let (found, took) = probed(&shared(Device::new(echo)), 115_200);
        assert_eq!(found.unwrap(), (Protocol::CcidSerial, LineSettings::CCID));
        assert_eq!(took, Duration::ZERO);
    }
    let (found, took) = probed(&shared(resident()), 115_200);
    assert_eq!(found.unwrap(), (Protocol::Sdt, LineSettings::ONE_STOP_BIT));
    assert!(took <= Duration::from_secs(4), "{took:?}");
    let (found, took) = probed(&shared(acs()), 9600);
    assert_eq!(found.unwrap(), (Protocol::Acs, LineSettings::SLOW));
    assert!(took <= Duration::from_secs(6), "{took:?}");
}

#[test]
fn no_device_executes_the_question_of_another() {
    let resident = shared(resident());
    let acs = shared(acs());
    let stx = shared(SlotDevice::new(Wire::Stx));
    let ccid = shared(Device::new(Echo::Off));
    ccid.lock().unwrap().insert(CardSpec::version_2());
    probed(&resident, 115_200).0.unwrap();
    assert_eq!(resident.lock().unwrap().obeyed(), 1, "the status question and nothing else");
    // At a speed where it never hears its own question, an ACS reader is asked nothing it obeys.
    assert!(probed(&acs, 115_200).0.is_err());
    assert_eq!(acs.lock().unwrap().obeyed(), 0);
    assert!(probed(&stx, 115_200).0.is_err());
    assert!(probed(&stx, 9600).0.is_err());
    assert_eq!(stx.lock().unwrap().obeyed(), 0);
    probed(&ccid, 115_200).0.unwrap();
    assert!(ccid.lock().unwrap().card().unwrap().instructions().is_empty());
}

/// The control: each device does obey its own question, whatever came before it.
#[test]
fn a_device_that_hears_its_question_obeys() {
    let acs = shared(acs());
    probed(&acs, 9600).0.unwrap();
    assert_eq!(acs.lock().unwrap().obeyed(), 1);
}

#[test]
fn a_line_without_a_protocol_is_named_in_time() {
    let silent = shared(Device::new(Echo::Off));
    silent.lock().unwrap().inject(When::Always, Fault::Silence);
    let check = |(result, took): (Result<(Protocol, LineSettings), ProbeError>, Duration), noisy: bool| {
        let Err(ProbeError::NoProtocol { tried }) = result else { panic!("{result:?}") };
        assert_eq!(tried.iter().map(|silent| silent.attempt).collect::<Vec<_>>(), ATTEMPTS);
        assert_eq!(tried.iter().any(|silent| silent.noise > 0), noisy);
        assert!(took <= Duration::from_secs(8), "{took:?}");
    };
    check(probed(&silent, 115_200), true);
    check(probed(&shared(ScannerDevice::new("\r")), 0), true);
    let mute = shared(ScannerDevice::new("\r"));
    let clock = VirtualClock::new();
    let result =
        probe(|_| Ok(Box::new(MemoryPort::shared(Arc::clone(&mute), clock.clone())) as Box<dyn CardPort>));
    let result = result.map(|attempt| (attempt.protocol, attempt.settings));
    check((result, clock.elapsed()), false);
    assert!(mute.lock().unwrap().heard() > 0);
}

#[test]
fn a_line_that_cannot_be_opened_is_said_at_once() {
    let result = probe(|_| Err(PortError::Busy { path: "/dev/ttyUSB0".into() }));
    assert!(matches!(result, Err(ProbeError::Port(PortError::Busy { .. }))), "{result:?}");
}

#[test]
fn a_line_that_never_falls_silent_ends_the_question() {
    let clock = VirtualClock::new();
    let result = probe(|_| {
        let mut device = ScannerDevice::new("\r");
        let fault = Fault::Noise(vec![0x55; 200_000]);
        device.scan(Duration::from_millis(10), "", Some(&fault));
        Ok(Box::new(MemoryPort::shared(shared(device), clock.clone())) as Box<dyn CardPort>)
    });
    assert!(matches!(result, Err(ProbeError::NoProtocol { .. })), "{result:?}");
    assert!(clock.elapsed() <= Duration::from_secs(8));
}
