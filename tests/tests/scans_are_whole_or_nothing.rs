//! A barcode scanner on a line: in memory with every fault that a line of text can show, and over a
//! pseudo-terminal. Never a real code.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::time::Duration;

use firmware_bridge::codec::line_scan::{Ending, ScanError, Scanned};
use firmware_bridge::scanner::Scanner;
use firmware_bridge::{CardPort, LineSettings, PortError, SerialCardPort};
use proptest::prelude::*;
use zhenyin_tests::card_reader::{Fault, MemoryPort, PtyReader, ScannerDevice};

const CODE: &str = "2800011101051849030700000001";
const NEXT: &str = "2800011101051849030700000002";
const SECOND: Duration = Duration::from_secs(1);

/// Everything scanned within a minute, and how the line ended.
fn scans(port: MemoryPort<ScannerDevice>) -> (Vec<Result<String, ScanError>>, Option<PortError>) {
    let deadline = port.now() + 60 * SECOND;
    let traffic = port.traffic();
    let mut scanner = Scanner::new(Box::new(port), Ending::LineEnd);
    let mut found = Vec::new();
    loop {
        let calls = traffic.lock().unwrap().calls;
        assert!(calls < 200, "a wait is not a busy loop: {calls} calls");
        match scanner.scan(deadline) {
            Ok(Some(scanned)) => found.push(text(scanned, &scanner)),
            Ok(None) => return (found, None),
            Err(error) => return (found, Some(error)),
        }
    }
}

fn text(scanned: Scanned, scanner: &Scanner) -> Result<String, ScanError> {
    scanned.map(|token| token.expose(scanner.now()).unwrap().to_owned())
}

fn typed(fault: Option<&Fault>, chunk: usize) -> Vec<Result<String, ScanError>> {
    let mut device = ScannerDevice::new("\r\n");
    device.scan(SECOND, CODE, fault);
    device.scan(20 * SECOND, NEXT, None);
    scans(MemoryPort::to(device).in_chunks(chunk)).0
}

#[test]
fn every_fault_gives_the_code_or_an_error_and_the_next_code_is_read() {
    let check = |fault: Fault, first: &[Result<&str, ScanError>]| {
        let want: Vec<_> = first.iter().copied().chain([Ok(NEXT)]).map(|w| w.map(str::to_owned)).collect();
        assert_eq!(typed(Some(&fault), 8), want, "{fault:?}");
    };
    check(Fault::Noise(vec![0xC3, 0x17]), &[Err(ScanError::NotText)]);
    check(Fault::Truncate { keep: 20 }, &[Err(ScanError::Broken)]);
    check(Fault::Truncate { keep: 28 }, &[Err(ScanError::Broken)]);
    check(Fault::Flip { at: 5, mask: 0x80 }, &[Err(ScanError::NotText)]);
    check(Fault::Late(2 * SECOND), &[Ok(CODE)]);
    check(Fault::Duplicate, &[Ok(CODE)]);
    check(Fault::Silence, &[]);
    // A text has no checksum: one digit for another cannot be seen here, and is not promised to be.
    check(Fault::Flip { at: 27, mask: 0x08 }, &[Ok("2800011101051849030700000009")]);
}

#[test]
fn another_speed_gives_no_code() {
    let mut device = ScannerDevice::new("\r\n");
    device.scan(SECOND, CODE, None);
    let (found, _) = scans(MemoryPort::to(device).garbled());
    assert!(!found.is_empty() && found.iter().all(Result::is_err), "{found:?}");
}

#[test]
fn a_scanner_that_is_unplugged_is_said() {
    let mut device = ScannerDevice::new("\r");
    device.scan(Duration::ZERO, CODE, Some(&Fault::HangUp));
    let (found, error) = scans(MemoryPort::to(device));
    assert!(found.is_empty() && matches!(error, Some(PortError::Lost { .. })), "{found:?} {error:?}");
}

#[test]
fn a_code_is_read_over_a_pseudo_terminal() {
    let pty = PtyReader::start_with(ScannerDevice::new("\r")).unwrap();
    let path = pty.path().to_str().unwrap();
    let port = SerialCardPort::open_with(path, LineSettings::SLOW).unwrap();
    let mut scanner = Scanner::new(Box::new(port), Ending::LineEnd);
    let soon = scanner.now() + Duration::from_millis(50);
    assert!(scanner.scan(soon).unwrap().is_none(), "a deadline is kept");
    pty.change(|device| device.scan(Duration::ZERO, CODE, None));
    let deadline = scanner.now() + 10 * SECOND;
    let scanned = scanner.scan(deadline).unwrap().unwrap();
    assert_eq!(text(scanned, &scanner), Ok(CODE.to_owned()));
    pty.change(|device| device.scan(Duration::ZERO, NEXT, None));
    pty.hang_up();
    let deadline = scanner.now() + 10 * SECOND;
    assert!(matches!(scanner.scan(deadline), Ok(Some(_)) | Err(PortError::Lost { .. })));
}

#[test]
fn what_was_scanned_before_the_question_is_forgotten() {
    let mut device = ScannerDevice::new("\r");
    device.scan(Duration::ZERO, CODE, None);
    device.scan(SECOND, NEXT, None);
    let port = MemoryPort::to(device);
    let deadline = port.now() + 10 * SECOND;
    let mut scanner = Scanner::new(Box::new(port), Ending::LineEnd);
    scanner.forget().unwrap();
    let scanned = scanner.scan(deadline).unwrap().unwrap();
    assert_eq!(text(scanned, &scanner), Ok(NEXT.to_owned()));
}

proptest! {
    #[test]
    fn noise_and_cuts_never_make_a_piece_a_code(
        noise in proptest::collection::vec(0x80_u8.., 0..20), keep in 0_usize..30, chunk in 1_usize..40,
    ) {
        for fault in [Fault::Noise(noise.clone()), Fault::Truncate { keep }] {
            for scanned in typed(Some(&fault), chunk).into_iter().flatten() {
                prop_assert!(scanned == CODE || scanned == NEXT, "{}", scanned);
            }
        }
    }
}
