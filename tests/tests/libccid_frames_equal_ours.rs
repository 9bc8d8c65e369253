//! Every frame that libccid's serial driver was heard to send, made again by our encoder: equal byte for byte.
//! Never needs libccid: a recording is part of the tree, and `.ci/peers.sh` gives a fresh one.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::collections::BTreeMap;
use std::path::Path;

use firmware_bridge::codec::ccid_serial::{Outgoing, Request, Voltage};

/// Bytes of a recording, whatever its lines look like: `>` and prose are no bytes.
fn bytes(recording: &str) -> Vec<u8> {
    let spoken = recording.lines().filter(|line| line.starts_with(['>', ' ']));
    spoken
        .flat_map(str::split_whitespace)
        .filter(|word| *word != ">")
        .map(|word| u8::from_str_radix(word, 16).unwrap())
        .collect()
}

/// Cuts a host's bytes into frames; trailing bytes of an unfinished one are left out.
fn frames(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = Vec::new();
    while let [0x03, 0x06, _, l0, l1, l2, l3, ..] = bytes {
        let length = 13 + u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let Some((frame, rest)) = bytes.split_at_checked(length) else { return frames };
        frames.push(frame);
        bytes = rest;
    }
    assert!(bytes.len() < 7, "libccid sends nothing but frames: {bytes:02X?}");
    frames
}

/// Our request that means what `frame` means; `None` for what we never ask.
fn meant(frame: &[u8]) -> Option<Request<'_>> {
    let data = &frame[12..frame.len() - 1];
    Some(match frame[2] {
        0x61 => Request::SetParameters(data.try_into().ok()?),
        0x62 => Request::PowerOn(match frame[9] {
            0 => Voltage::Automatic,
            1 => Voltage::Five,
            2 => Voltage::Three,
            3 => Voltage::OnePointEight,
            _ => return None,
        }),
        0x63 => Request::PowerOff,
        0x65 => Request::SlotStatus,
        0x6B => Request::Escape(data),
        0x6F => Request::Transfer(data),
        _ => return None,
    })
}

/// How many frames of each kind were equal.
fn check(recording: &str) -> BTreeMap<u8, u32> {
    let mut equal = BTreeMap::new();
    let bytes = bytes(recording);
    for frame in frames(&bytes) {
        let request = meant(frame).unwrap_or_else(|| panic!("not one of ours: {frame:02X?}"));
        let ours = Outgoing::new(&request, frame[7], frame[8]).unwrap();
        assert_eq!(ours.bytes(), frame, "{request:?}");
        *equal.entry(frame[2]).or_default() += 1;
    }
    equal
}

#[test]
fn the_recorded_frames_are_ours() {
    let equal = check(include_str!("../fixtures/libccid-host.transcript"));
    let kinds: Vec<u8> = equal.keys().copied().collect();
    assert_eq!(kinds, [0x61, 0x62, 0x63, 0x65, 0x6B, 0x6F]);
    assert!(equal[&0x6F] >= 20, "a whole card was read: {equal:?}");
}

/// A recording just made, named by `ZHENYIN_HOST_BYTES`.
#[test]
fn frames_of_this_hour_are_ours() {
    if let Some(path) = std::env::var_os("ZHENYIN_HOST_BYTES") {
        let equal = check(&std::fs::read_to_string(Path::new(&path)).unwrap());
        assert!(equal.values().sum::<u32>() >= 30, "{equal:?}");
    }
}

/// The control: one changed byte is seen.
#[test]
fn a_frame_that_is_not_ours_is_seen() {
    let good = "> 03 06 65 00 00 00 00 00 02 00 00 00 62\n";
    assert_eq!(check(good)[&0x65], 1);
    for wrong in [good.replace("62\n", "63\n"), good.replace("02 00 00 00 62", "02 01 00 00 62")] {
        assert!(std::panic::catch_unwind(|| check(&wrong)).is_err(), "{wrong}");
    }
}
